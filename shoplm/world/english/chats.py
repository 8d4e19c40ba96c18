"""The English of support chats: what shoppers ask for, and what a patient assistant answers.

Neighbouring intents share their words on purpose (a return, an exchange and a late refund all speak of sending
back and of money), and every one of them can be asked for without its obvious word.
"""

PARCELS = """
track_order = where is my [parcel|order|package|{item}] | [any news on|what is happening with|can you look up] order {order}
    | has {order} [left the warehouse|shipped|gone out] yet
| the tracking [has not moved|says the same thing] since {day} | when will my {item} [get here|arrive|turn up]
    | tracking link [is dead|shows nothing|gives an error]
| it was supposed to come {day} and I am still waiting | still nothing in the post | is the {item} on its way
    | which courier has my [stuff|parcel|order]
| it says delivered but [there is nothing at my door|I got nothing|nobody here has seen it] | how [long|many days] until {order} is here
    | been [sitting at the window|refreshing the page] for my {item} all week | the app says [in transit|label created] and nothing else
    | can I see on a map where the driver is | eta for {order} please | lost in the post maybe? I paid on {day}
    | my {item} went to the depot in {city} and stopped | expected delivery was {day}, today is later than that
cancel_order = [please cancel|I want to cancel|can you cancel|cancel] [order {order}|my order|the {item}]
    | I [changed my mind|do not want it any more], [please stop|can you stop] the order
| [do not|please don't] ship {order} | ordered the {item} twice by mistake, one has to go
    | I clicked buy [too fast|by accident|with the wrong size], undo it
| is it too late to call off {order} | found it cheaper, forget my order | take the {item} out of my order before it ships
    | my kid ordered this, we do not want it
| I need to withdraw from the purchase I made [{day}|an hour ago] | how do I stop an order that has not gone out yet
    | scrap {order}, I will [order again later|think about it]
| the cancel button is greyed out | can I still back out of this | please do not send it, I no longer need the {item}
    | ordered it for the wrong date, pull it back
return_item = [I want to|I'd like to|how do I|can I] [return|send back] [the|my|this] {item}
    | the {item} is not for me, [how does it go back|where do I send it]
| [need|where is|please send] a return label for {order} | how many days do I have to [bring it back|send it back]
    | the {item} [looks different|is not what I imagined], I want my money back
| do I pay the postage if I send it back | can I drop a return at a shop in {city} | I threw the box away, can it still go back
    | is a [worn once|opened] {item} returnable
| [{who} did not like|nobody here likes] the {item}, taking it back | the return portal does not [know|accept] {order}
    | it does not suit me, please pick it up
| return window for things bought on {day}? | I would rather have the money than the {item}
    | bought two to compare, one is coming back to you | gift I do not want, can you take it
exchange_item = [can I|I want to|how do I] [swap|exchange|change] the {item} for [a {size}|another size|{color}]
    | need the {item} in a {size2} instead of {size} | it is too [small|big|tight|long], send me the next size
| I do not want the money, just the same in {color} | could you send a {size2} and I post the {size} back
    | wrong colour chosen, my fault, want {color} | trade my {item} for a different model
| is it possible to switch sizes after delivery | {size} is huge on me, {size2} please
    | sending it back only to get another one, is there a quicker way
| replace {color} with another colour | same {item}, other size, how | got it in {size}, should have taken {size2}
    | will you hold a {size2} for me while mine travels back
refund_status = where is my [refund|money]
    | I [sent|posted] the {item} back on {day} and [nothing has come|my account is empty|have heard nothing]
    | when do I get my [money back|{amount} back]
| you [confirmed|received] my return [{day}|two weeks ago], still no [money|credit]
    | the refund for {order} is [missing|late|less than I paid] | how long does a refund take to show on my [card|account|statement]
| was the {amount} paid out yet | the bank sees no transfer from you | order was cancelled {day}, the charge is still there
    | you promised my {amount} by {day}
| return arrived at your place says the courier, and then? | I got only part of my money for {order} | has my reimbursement been processed
    | refunded to which card, I closed the old one | still waiting to be paid back | the {item} went back ages ago, what about the cash
wrong_item = I [got|received] [the wrong thing|someone else's order|a different {item}]
    | I ordered {color} and [got another colour|it is not {color}] | this is not what I ordered
    | the box says {item} but inside is something else
| the label has another name on it | you sent me size {size}, I asked for {size2} | instead of the {item} there was a [mug|scarf|toy]
    | mix-up with {order}, not my article
| the sku on the bag is {sku}, mine should be different | wrong {item} in the parcel, who gets mine | I think two orders were switched
    | that is a men's model, mine was women's | not the {item} from the picture, a whole other brand | someone in {city} probably has mine
missing_item = [part|half] of my order is missing | I ordered [two|three] and only one was in the box | the {item} was not in the parcel
    | box came without the [charger|strap|manual|lid|belt]
| {order} is incomplete | you charged me for [two|three], delivered one | the bag was [open|empty] when it came
    | where is the rest of my order
| one thing on the packing slip is not there | the {item} came, the other one did not
    | there should be a [cable|second pillowcase|spare part] with it | looked through all the paper, no {item}
    | my free gift was not included | delivery one of two came, what about two of two
damaged_item = the {item} [arrived|came] [broken|damaged|cracked|scratched] | there is a [hole|stain|dent|crack] in my new {item}
    | the box was crushed and so is what is inside
| it does not [switch on|work], straight from the box | [leaking|in pieces] when I opened it | the {item} has a fault, see photo
    | the zip was broken before I touched it
| I can send pictures of the [damage|scratches] | glass everywhere when I opened {order} | brand new and already [torn|chipped|bent]
    | courier must have dropped it, the {item} rattles
| what do you do about things that come in bits | one side is smashed | it was obviously used, there is [hair|make-up|dirt] on it
    | defective on day one
"""

BEFORE_BUYING = """
size_advice = which size should I [take|order|get] | I am 1{two} cm and {two} kg, [what size|{size} or {size2}]
    | does the {item} [run small|run large|come up big] | between {size} and {size2}, help
| is {size} the same as in other brands | I wear a {size} in jeans, what would that be here
    | [will|would] {size} fit someone with [broad shoulders|wide feet|long arms] | where is the size chart for the {item}
| what are the measurements of a {size} | how long is it on a tall person | is it cut [slim|loose] | my chest is {two} cm, what do I pick
    | never bought {brand}, do I size up | {who} is usually {size}, is that right for this one | how does it fall at the hips
    | EU to UK conversion please
stock_question = is the {item} [in stock|available] | will the {item} be back | when do you get [more|the {color} one]
    | [sold out|unavailable] in {size}, when again | do you [have|carry] the {item} in {color}
| any {size} left | can I be told when it is back | how many of {sku} are there | is the {item} [discontinued|gone for good]
    | does the shop in {city} have it
| the page says only 2 left, true? | can I reserve one | are you getting the new {brand} | {color} vanished from the site
    | preorder, when does it ship | I cannot add {size} to the basket, is it gone | will there be more before {day}
product_question = is the {item} [waterproof|dishwasher safe|vegan|machine washable] | what is the {item} made of
    | does it [work with|fit] [an iPhone|induction|a 15 inch laptop] | how heavy is it
| where is the {item} made | how long does the battery last on the {item} | does it come with a [cable|lid|case]
    | can I put it in the oven | is {sku} the new version | how do I [wash|clean|look after] it
| is there real leather in it | is the {color} more green or more blue | how many litres does it hold
    | can I use it abroad, what plug is it | does it have [pockets|a lining|a timer] | is it safe for [kids|sensitive skin]
    | how bright is it
compare_products = what is the difference between the {brand} and the {brand2} | which {item} is better, {brand} or {brand2}
    | [is|why is] the dear one [worth it|so much more] | cannot decide between two {item} models
| how does {sku} compare to last year's | would you take the {brand} or the other one | which of the two lasts longer
    | is the {brand2} just the same with another name
| help me choose, [{color} one|{brand}] or {brand2} | pros and cons of both please | I have three in my basket and need one
    | which one do people send back less | old model against new model, what changed | does the cheap one do the same
delivery_options = how much is [delivery|shipping|postage] [to {city}|abroad|for two]
    | do you [ship|deliver] to [{city}|Ireland|islands|Norway] | can it come by {day} | is there express | free delivery from what amount
| can I pick it up in a shop | do you deliver on [Saturday|Sunday|evenings] | how fast is standard | can I choose the courier
    | could it go to a [locker|neighbour|parcel shop]
| if I order now, when is it here | do I pay customs | can two orders travel together to save postage
    | I am only home after six, is there a time slot | next day to {city}, possible? | does it cost extra to carry it upstairs
price_match = I saw the {item} [cheaper|for less] [elsewhere|on another site|in {city}]
    | it dropped [the day after I bought it|by {amount}], can I get the difference | do you match prices
| {brand} sells it for {amount} less, can you do that too | will it be in the sale soon | is that your best price
    | two {item}s, is there a discount for that | the shelf said less than the website
| bought on {day}, reduced today, that is unfair | student or nurse discount? | why did the price go up overnight
    | could you give me the same deal as last week | can you beat {amount} | I would buy right now if it were a bit cheaper
"""

MONEY_AND_ACCOUNT = """
coupon_problem = [my|the] [code|coupon|voucher] {code} [does not work|is refused|is not accepted]
    | {code} says [invalid|expired|not for this item] | the discount was not taken off | where do I [type|enter] {code}
| newsletter promised ten percent and the basket shows none | can I use two codes together
    | forgot to put in {code}, can you add it to {order} | I paid full price although I had a voucher
| the app ate my coupon | minimum spend for {code}? | {code} vanished when I changed the size | why is my birthday offer gone
    | welcome discount never came | it takes the code and the total stays the same
payment_failed = my [card|payment] [was declined|was refused|does not go through] | I cannot [pay|check out] with {pay}
    | it [hangs|freezes] on the last step | charged [twice|two times] for {order}
| the bank took {amount} but there is no order | error [402|51|E-17] at checkout | {pay} keeps sending me back to the basket
    | the code from my bank never comes
| money left my account and the page says failed | do you take {pay} | can I pay later or in parts | I pressed pay and got a white page
    | it says insufficient funds, which is wrong | try again tomorrow, says {pay}, is it you or them | two holds on my card, one order
invoice_request = [I need|can I have|please send|where do I find] [an invoice|a receipt|a bill] for {order}
    | my company needs the VAT number on it | the invoice has the wrong name | pdf of what I paid on {day} please
| accounting asks for proof of purchase | put my tax id on the bill | lost the paper receipt for the {item} | need it for the insurance
    | no email with the bill came
| can the company address be on the receipt | I have to claim this as an expense | need last year's bills for my taxes
    | document that shows {amount} was paid
gift_card = [I want to buy|do you sell] gift [cards|vouchers] | my gift card [does not work|shows zero|is refused]
    | how much is left on [card|gift card] {giftno} | can I pay part with a gift card and part with {pay}
| gift card for {who}, can it come by mail today | does the gift card run out | I scratched off the number and cannot read it
    | paid with a gift card and returned it, where is the credit
| can I turn my gift card into money | got a present card from {who}, how do I use it | the {amount} card never reached the person
    | put a message on the gift card | need something for {who}, easiest is a card I think
loyalty_points = how many points do I have | my points for {order} are missing | when do points [expire|run out] | can I pay with points
    | what do I get for {points} points | why am I no longer a gold member
| I forgot to scan my card at the till | do returned things cost me points | can {who} and I share one points account
    | how do I join the club | points from {day} not there yet | is there a bonus on my birthday | lost all my stars after the update
    | what level am I
change_address = [I need to|can I|please] change the [address|delivery address] [for {order}|of my order|]
    | I moved to {city}, [the parcel goes to the old flat|update my details] | typo in my street name
| wrong house number on {order} | please send it to my [office|mum's|neighbour] instead | can the courier bring it somewhere else
    | I put the billing address where the shipping one goes
| we will be away on {day}, deliver it to {city} | postcode is wrong, should be {zip}
    | my name changed after the wedding, fix it on the parcel | remove my old address | flat number is missing, will it still come
    | redirect {order} | it is going to the wrong place, I live in {city} now
account_login = I [cannot|can't] [log in|sign in|get into my account] | [forgot|lost] my password
    | the reset [mail|link] [never comes|has expired] | my account is locked | it says my email does not exist
| I want to [delete|close] my account | how do I change my [email|password|phone number] | someone else ordered with my account
    | the six digit code does not arrive | logged out every time
| I have two accounts, merge them | cannot see my old orders after signing in | is my account hacked, I see a strange address
    | it keeps asking me to register | the app throws me out
newsletter = [stop|please stop] [sending me mails|the newsletter|texting me] | how do I unsubscribe | three emails a day is too much
    | take me off the list | I clicked unsubscribe and still get ads
| I want the newsletter, how | the link at the bottom of your mail is broken | only mail me about {item}s please
    | your messages go to spam | who gave you my address | how do I get texts about sales | too many notifications from the app
    | no more catalogues in my letterbox
warranty = is there [a guarantee|a warranty] on the {item} | how long is the warranty
    | my {item} [stopped working|broke|died] after [five|eight|fourteen] months | do I need the receipt for a repair | can it be repaired
| battery holds nothing after a year, is that covered | the sole came off after [ten|six] months of normal use | who fixes {brand} things
    | manufacturer or you, who do I ask about a fault
| bought on {day} last year, handle snapped | do you sell spare parts for {sku} | does water damage count
    | register my {item} for the longer guarantee | it was fine until last week, now it makes a noise
talk_to_human = [I want to|let me|can I] [speak to|talk to] [a person|a human|someone|an agent] | are you a [robot|bot]
    | this is going nowhere, get me [your boss|a manager] | give me a phone number | call me back
| you do not understand me, is anyone there | not a machine please | I have written four times, who can really help
    | when is the hotline open | I would like to complain about [your staff|the driver|how I was treated] | transfer me
    | your answers are useless | somebody with a name please | put me through to customer service
"""

OUT_OF_SCOPE = """
oos = what is the weather [in {city}|tomorrow|like on {day}] | [tell me|know|got] a joke about [cats|doctors|lawyers|{city}|my {noun}]
    | who will win the election | what do you [think|make] of the [president|government|prime minister|mayor of {city}]
    | how do I cook [rice|an egg|lentils] | asdkjh [qwe|lkj|zzz] {two}
| what is {two} times {two2} | do you love me | who won the [match|cup|race] on {day} | write me a poem about {city}
    | [translate|say] good morning [in|into] [Spanish|Polish|Korean]
| is there life on Mars | best way from {city} to the airport | [blah|bla] [blah|bla] [blah|la] | how old is the [universe|queen|moon]
    | set an alarm for {two} past seven | what is the capital of [Peru|Kenya|Laos]
| my [dog|cat|hamster] is sick, what now | recommend a film for {day} | can you do my [maths|history|biology] homework
    | {two} {two2} {two} | [lol|haha|hmm] [ok|whatever|sure] | play some [jazz|techno|music]
| should I break up with {who} | how tall is the Eiffel Tower | what do I do about [back pain|a cold|hiccups]
    | [stocks|bitcoin|gold], buy or sell | book me a table in {city} for {two}
| are aliens in {city} | sing something | what year is it | how do I learn [the piano|chess|to swim] | {who} snores, any tips
    | is it legal to [park|fish|camp] in {city} | [fghj|bnmk|wert] [tyu|vbn|oiu] | why is the sky blue
| when is the next bus to {city} | who are you voting for | how many calories in [a banana|beer|toast] | what is the meaning of life
    | can you [hack|fix] my [router|printer|car] | knock knock
"""

AROUND = """
greeting = hi | hello | hey | good morning | hi there | hello team | hey, quick question | good evening | dear team | sorry to bother you
    | help please | hiya | excuse me | hello again | me again
past = I ordered a {item} on {day} | my order number is {order} | I bought a {item} from you | it is about order {order}
    | this is about the {item} ({sku}) | I paid with {pay} | I am a customer since years | the order was for {who}
| I got your mail on {day} | I have already looked at the help page | I wrote to you on {day} and got no answer
    | I was on hold for {two} minutes | I sent one thing back last month and that went fine
| the parcel went to {city} | everything was fine with my last order | it was a gift for {who} | I used {code} at checkout
    | the tracking said delivered {day} | the total was {amount} | I bought size {size}
| I am on the app | I ordered two things in {order} | I have an account with you | I do not have the box any more
    | my card was charged {amount} | the {color} one | I asked {who} first
| customer service said to write here | the refund for the other one was quick | I tried to change it myself
    | I have been a member since the start
after = thanks | thank you | please hurry | I need it by {day} | not in a hurry | what do I have to do | please answer soon | it is urgent
    | can you check | let me know | otherwise I will cancel | I do not want a refund, only an answer
| I am a bit annoyed | this is the second time | I like your shop otherwise | I hope you can help | no rush | cheers
    | many thanks in advance | the number is {order} | my mail is {mail} | you can call me on {phone}
| if not, I would like my money back | sorry for the trouble | is that normal | it never happened before | how does that work
    | or do I have to send it back | {who} is waiting for it
settled = {other} - that one is solved by now | last time I asked you: {other}
    | {who} wrote to you earlier: {other}. My question is another | not this: {other} | first I thought: {other}
    | before you ask, this is not about {topic} | {other}, but that can wait | I found the answer to this one myself: {other}
    | forget my earlier message ({other}) | I know how {topic} works | your bot understood: {other}. No
    | it has nothing to do with {topic} | I keep reading about {topic} on your help page | {topic} was fine
    | the mail about {topic} is clear to me
later = {other}, but that is for another day | once this is done I will ask about {topic} | do not send me to the page on {topic}
    | and no, I am not asking: {other} | {topic} can wait | please do not answer about {topic} | I can sort out {topic} by myself
    | after that, maybe: {other} | the last agent told me all about {topic}, not helpful
topic = tracking | a refund | returns | an exchange | a cancellation | the delivery | the address | my size | the stock | a coupon
    | the payment | the invoice | the warranty | gift cards | my points | the password | the newsletter | prices | a damaged parcel
    | a missing part | the hotline
polite = could you tell me: {core} | I would like to know, {core} | quick one: {core} | {core}, is that possible
    | maybe a silly question, {core} | so {core} | well, {core} | right, {core} | problem: {core} | ok {core}
item = {noun} | {noun} | {noun} | {noun} | {brand} {noun} | {color} {noun} | thing I ordered
who = my sister | my husband | my wife | my mum | my daughter | my flatmate | a colleague | my son | my gran | a friend | my partner
    | my neighbour
day = Monday | Tuesday | Wednesday | Thursday | Friday | Saturday | Sunday | the 3rd | the 12th | the 21st | 14 March | 2 May | last week
    | yesterday
city = Leeds | Cork | Bristol | Lyon | Utrecht | Porto | Graz | Malmo | Ghent | Turin | Cardiff | York | Aarhus | Dundee
pay = PayPal | my Visa card | Apple Pay | Klarna | a debit card | bank transfer | Google Pay | Mastercard
code = WELCOME10 | SPRING15 | VIP20 | FREESHIP | BDAY5 | THANKS10 | APRIL25 | NEWHERE
size = S | M | L | XL | 38 | 40 | 42 | 12 | 14
size2 = XS | L | XXL | 39 | 41 | 43 | 10 | 16 | M
brand2 = Marlowe & Finch | Tideway | Pellworth | Nordvale | Wexley | Corvane | Lumetti | Halden Row | Junipero
zip = LS2 7{two} | BS1 4{two} | 10{two} | 35{two}
mail = {name}{two}@example.com | {name}.k@example.org | {name}@mail.example
name = anna | tom | lucia | piet | maria | jonas | ella | omar | yuki | noor
phone = 0113 496 0{two}3 | 020 7946 0{two}1 | +44 1632 960{two}5
amount = £{cents} | {whole} pounds | £{whole}
points = 120 | 300 | 450 | 1000 | 2500
giftno = GC-{two}{two2}-{two2} | GC{two2}{two}
stop = . | . | . | . | . | !
ask = ? | ? | ? | ? | . | ??
"""

REPLIES = """
reply.track_order = Order {order} is with the courier and should reach you within two working days.
    | I have asked the courier where {order} is and will write to you today.
reply.cancel_order = Order {order} is cancelled; the money goes back the way you paid.
    | {order} has already left us, but you can refuse the parcel or send it back free of charge.
reply.return_item = You have 30 days. The return label for {order} is in your account under Orders.
    | Of course: print the label I just sent, pack it, drop it at any parcel shop.
reply.exchange_item = I have put the other one aside for you; send yours back with the label and it leaves the same day.
    | An exchange is free: choose the new size under {order}.
reply.refund_status = The refund for {order} was sent on to your bank; it can take up to five working days.
    | I see your return arrived. The money is released today.
reply.change_address = The address on {order} is changed. | {order} is already packed, but I have asked the courier to redirect it.
reply.size_advice = It runs true to size; between two sizes, take the larger one.
    | The chart under the photos gives every measurement in centimetres.
reply.stock_question = We expect more in about two weeks; press the bell on the page and you get a mail.
    | It is in stock now and ships tomorrow.
reply.coupon_problem = The code is valid from a basket of 50 and not for reduced items. | I have added the discount to {order} for you.
reply.payment_failed = No money was taken; what you see is a hold that your bank releases in a few days.
    | Please try once more or use another way to pay; our side works again.
reply.damaged_item = I am sorry. A photo is enough, and a replacement leaves today.
    | That should not happen: would you like a new one or your money back?
reply.warranty = It is covered for two years. Send it to us with the number {order} and we repair or replace it.
    | Normal wear is not covered, a fault like this is.
reply.talk_to_human = A colleague takes over now; this chat stays open. | Our team is on the phone from 8 to 18, Monday to Saturday.
reply.oos = I can only help with orders, products and your account. | That is beyond me, I am afraid; is there something about an order?
reply.any = Thank you, I have looked into it and sent you the details by mail. | Let me check that for you; one moment.
    | Done. Is there anything else? | I have noted it on {order} and we will take care of it.
"""

CHATS = PARCELS + BEFORE_BUYING + MONEY_AND_ACCOUNT + OUT_OF_SCOPE + AROUND + REPLIES
