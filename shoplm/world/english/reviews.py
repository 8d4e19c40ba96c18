"""The English of reviews: what people say about each aspect, gladly, sourly and in between.

Clauses begin in lower case and end without a stop, so that any two can be joined. Negation, contrast and irony
are in the clauses on purpose: a word alone seldom tells the mood.
"""

from shoplm.world.english.happenings import HAPPENINGS

FRAMES = """
good = lovely | superb | excellent | gorgeous | first-rate | brilliant | fantastic | wonderful | impressive | solid | delightful
    | beautiful | faultless | outstanding | terrific | flawless | ace | splendid | pleasing | marvellous | exquisite | glorious | stellar
    | exceptional | magnificent | remarkable | admirable | fabulous | charming | dreamy | sublime | stunning | phenomenal | amazing
    | awesome | great | good | nice | perfect | ideal | immaculate | classy | premium | luxurious | stylish | elegant | sturdy | robust
    | reliable | dependable | trustworthy | clever | smart | ingenious | thoughtful | generous | satisfying | refreshing | enjoyable
    | comforting | handsome | striking | polished | refined | praiseworthy | commendable | unbeatable | unmatched | exemplary | tidy
    | neat | fine-tuned | heavenly | divine | cracking | smashing | grand | tremendous | sensational | tip-top | super | spotless
    | irresistible | winning | radiant | graceful | sound
bad = awful | dreadful | terrible | poor | shoddy | disappointing | horrible | dire | flimsy | second-rate | useless | hopeless
    | substandard | atrocious | lousy | pathetic | woeful | subpar | infuriating | appalling | naff | ghastly | abysmal | miserable
    | wretched | inferior | tacky | grim | nasty | rotten | crummy | feeble | lame | laughable | inadequate | deficient | defective
    | faulty | unreliable | unusable | worthless | pointless | annoying | irritating | frustrating | exasperating | maddening | offensive
    | disgraceful | shameful | deplorable | inexcusable | unacceptable | unsatisfactory | underwhelming | sloppy | careless | clumsy
    | crude | ugly | hideous | unsightly | dismal | bleak | lamentable | pitiful | sorry | weak | wonky | botched | bungled | shabby
    | tatty | threadbare | junky | trashy | mediocre | lacklustre | uninspired | insulting | ridiculous | absurd | bad | horrendous
    | horrid | vile | dud | rubbish
so_good = spot on | a joy | top notch | very decent | better than expected | out of this world | a triumph | a dream | a pleasure
    | beyond reproach | in a class of its own | well judged | well made | well thought out | {good} | {good} | {good} | {good} | {good}
    | {good} | {good} | {good} | {good} | {good}
so_bad = a letdown | a joke | mediocre at best | below par | a mess | a nightmare | a failure | a disaster | beneath contempt
    | not up to scratch | badly judged | badly made | badly thought out | a disgrace | {bad} | {bad} | {bad} | {bad} | {bad} | {bad}
    | {bad} | {bad} | {bad} | {bad}
fine = okay | fine | acceptable | passable | so-so | middling | average | nothing special | unremarkable | tolerable | all right
    | ordinary | fair | decent enough
very = really | truly | honestly | very | so | genuinely | quite | pretty | absolutely | just | properly | [|] | [|] | [|]
thing = {noun} | {noun} | {noun} | product | purchase | {brand} {noun} | thing | item
who = my sister | my husband | my wife | my mum | my daughter | my flatmate | a colleague | my son | my gran | a friend | my partner
    | my neighbour
span = a week | two weeks | a month | three months | a few days | half a year | ten days | a fortnight | six weeks | one weekend
pos_frame = the {x} is {very} {good} | the {x} is {so_good} | {very} {good} {x} | what {good} {x} | the {x} looks {good} and is {good}
    | {good}, {good} {x} | the {x} feels {good} | the {x} [turned out|proved to be] {good} | [no|zero] complaints about the {x}
    | the {x} is anything but {bad}
| I was [afraid|worried] the {x} would be {bad}, and it is not | I expected {bad} {x} at this price and was wrong | I cannot fault the {x}
| the {x} is not {bad} at all, whatever others say | nobody could call the {x} {bad}
    | I would [happily|gladly] buy it again for the {x} alone
| hard to find a better {x} | the {x} won me over | the {x} [beats|puts to shame] what I had before | {who} envies the {x}
    | [love|loving|adore] the {x}
| reviews called the {x} {bad} but mine is {good} | never had a problem with the {x} | the {x} exceeded my hopes | the {x} makes me smile
    | my last one was {bad}, here the {x} is in another league | if only everything had such {x}
neg_frame = the {x} is {very} {bad} | the {x} is {so_bad} | {very} {bad} {x} | what {bad} {x} | the {x} looks {bad} and is {bad}
    | {bad}, {bad} {x} | the {x} feels {bad} | the {x} [turned out|proved to be] {bad} | [nothing but|only] trouble with the {x}
    | the {x} is anything but {good}
| I was [hoping|told] the {x} would be {good}, and it is not | I expected {good} {x} at this price and was wrong
    | I cannot forgive the {x} | the {x} is not {good} at all, whatever others say | nobody could call the {x} {good}
    | I would never buy it again because of the {x}
| hard to find a worse {x} | the {x} put me off | the {x} is a step down from what I had before | {who} laughed at the {x}
    | [hate|cannot stand] the {x}
| reviews called the {x} {good} but mine is {bad} | the {x} has been a problem since day one | the {x} fell short of my hopes
    | the {x} makes me sigh | my last one was {good}, here the {x} is {bad} | I wish I could say the {x} was {good}
    | the {x} lets it down badly
mid_frame = the {x} is {fine} | the {x} is {fine}, no more | the {x} is neither {good} nor {bad} | I have no strong feelings about the {x}
    | the {x} could be worse, could be better
| not {bad}, not {good}, the {x} just does its job | the {x} is about what you would expect
    | the {x} is good on some days and less so on others | the {x} took some getting used to | the {x} is a compromise
"""

WEARING = """
fit.x = fit | cut | sizing | length | shape
fit.pos = it fits like it was made for me | true to size and [flattering|comfy] | I usually struggle with hips and this one skims them
    | the {size} sits exactly where it should
| no gaping, no pulling, no fuss | finally something that [suits|works on] a short [body|person]
    | ordered my usual size and did not have to send it back | hangs well on me
fit.neg = the {size} came up [tiny|huge|a whole size out] | far too [tight|loose] across the [shoulders|chest|middle]
    | I looked like I was wearing a [sack|tent|tube]
| the size chart is pure fiction | could not get it past my [hips|heels|elbows] | it gapes in all the wrong places
    | runs small, then runs smaller after an hour | one side hangs lower than the other
fabric.x = fabric | {material} | material | cloth
fabric.pos = the {material} has real weight to it | feels like it cost twice as much | breathes well on [hot|muggy] days
    | you can tell the {material} is the real thing | no itching, and I itch from everything | drapes nicely and hardly creases
    | thick enough that nothing shows through
fabric.neg = the {material} is see-through in daylight | it feels like a shower curtain | scratchy enough to leave marks
    | creases if you so much as look at it | thin as tissue | static like you would not believe
    | if this is {material} then I am a duchess | pills after [two|three] outings
stitching.x = stitching | seam work | hem | finish | sewing
stitching.pos = the seams are neat inside and out | not a loose thread anywhere | sewn by someone who cares
    | double stitched where it counts | buttons are on to stay
stitching.neg = the seam split [the second time|within a week] | loose threads all over | the hem came undone on day one
    | a button fell off in the [post|car] | crooked stitching down one side | there was already a hole under the arm
    | it unravelled from a tiny snag
colour.x = colour | {color} | shade | look
colour.pos = the {color} is even nicer in person | colour exactly as pictured | {color} goes with everything I own
    | got [three|so many] compliments on the {color} | rich shade, not shouty | matches the photos for once
colour.neg = the {color} is nothing like the photo | it arrived looking [grey|brownish|washed out] | more mud than {color}
    | faded before its first birthday | the dye came off on my [hands|sofa|shirt] | two parts are two different shades
comfort.x = comfort | padding | feel | weight
comfort.pos = wore it [all day|for nine hours] and forgot it was there | no rubbing, no sore spots | soft where it touches you
    | light enough to forget | my [back|feet|ears] thanked me | comfy straight out of the box
comfort.neg = blisters after twenty minutes | it digs in and leaves a red line | my [back|feet|neck|ears] ached all evening
    | heavy and stiff | took it off after half an hour | whoever designed this has no body | rubs exactly where you do not want it
wash.x = washing | care | way it comes out of the machine
wash.pos = survived the machine without a wrinkle | came out of ten washes like new | no shrinking, no fading
    | dries overnight and needs no iron
wash.neg = shrank two sizes in a cold wash | one wash and it was ruined | turned my whites [pink|grey]
    | went bobbly in the machine though I followed the label | hand wash only, which nobody mentions until it is too late
softness.x = softness | warmth | feel on the skin
softness.pos = like being hugged | I have not slept this well in years | warm without boiling you | the cat has moved in
    | gets softer every time | nobody wants to get up now
softness.neg = stiff as cardboard | I woke up sweating | about as cosy as a tarpaulin | still scratchy after five washes
    | too thin to keep anyone warm
storage.x = pocket layout | zip | layout | space inside | main compartment
storage.pos = swallows a laptop and lunch with room to spare | the zips run like butter | a pocket for everything
    | everything has its place | fits under the seat on a plane | opens wide so you can see the bottom
storage.neg = the zip jammed on day three | the pockets are too shallow to trust | the zip pull came off in my hand
    | my laptop does not fit though they say it does | one strap ripped clean off | things fall out of the side pockets
    | a black hole inside, you find nothing
"""

USING = """
sound.x = sound | bass | audio | noise cancelling | microphone
sound.pos = I hear things in old songs I never noticed | bass with punch and no mud | the world goes quiet when I switch them on
    | calls come through clear even on the street | voices sound natural | loud without distortion
sound.neg = tinny like an old radio | the bass drowns everything | crackles on the left side | callers say I sound like I am under water
    | the noise cancelling cancels nothing | one ear is quieter than the other | hisses when nothing plays
battery.x = battery | charging | battery life | charge
battery.pos = I charge it once a week | lasted the whole flight and the taxi | ten minutes on the cable and it is good for the day
    | still at sixty percent after [two|four] days | outlives my phone
battery.neg = dead by lunchtime | the battery lasts half of what they claim | had to charge it twice on one trip
    | drains overnight doing nothing | stopped holding a charge after {span} | gets hot on the cable, which worries me
connection.x = app | pairing | bluetooth | connection | set-up
connection.pos = paired in ten seconds and never dropped | the app is simple and does not nag | even {who} managed the set-up
    | switches between phone and laptop by itself
connection.neg = loses the connection every few minutes | the app wants my email, my age and my soul
    | would not pair with two different phones | after the update nothing syncs | I spent an evening on the set-up and gave up
    | forgets my settings each time
screen.x = screen | display | dial | touch screen
screen.pos = readable in bright sun | crisp and quick to react | big digits, so no glasses needed | not a scratch on it after {span}
screen.neg = impossible to read outdoors | scratched by my own sleeve | freezes when it is cold
    | I press three times before anything happens | a dead line across the middle since Tuesday
heat.x = heating | heat | temperature control | speed
heat.pos = ready before I have found a mug | heats evenly right to the edge | holds the temperature to the degree
    | fast, even on my old hob
heat.neg = takes an age to get hot | hot in the middle, cold at the rim | the handle burnt my [hand|fingers]
    | switches itself off too early | tripped the fuse twice
surface.x = non-stick | coating | surface | base
surface.pos = eggs slide straight off | nothing sticks, not even cheese | a better crust than in restaurants
    | takes metal spoons without a mark
surface.neg = everything sticks like glue | the coating flakes into the food | warped on its first evening
    | rusted after one night in the rack | scratched by a wooden spoon, how
cleaning.x = cleaning | washing up | limescale filter | lid
cleaning.pos = a wipe and it is done | goes in the dishwasher and comes out shining | no corners for dirt to hide
    | stays clean longer than my old one
cleaning.neg = a nightmare to clean | you cannot get a hand inside | shows every fingerprint | limescale everywhere after {span}
    | the gap under the rim is a trap for grime
noise.x = noise level | whistle | sound it makes
noise.pos = quiet enough for six in the morning | a gentle click and no drama | does not wake the baby
noise.neg = roars like a plane taking off | wakes the whole house | rattles and hums | beeps at me for no reason
light.x = light | brightness | bulb | dimmer | glow
light.pos = warm glow that flatters the room | bright enough for sewing, soft enough for bed | no flicker and no glare
    | finally I can read without hurting my eyes
light.neg = flickers from the first evening | so dim I needed a second one | harsh and bluish like a car park
    | the dimmer has two settings, off and blinding | buzzes when turned down
skin.x = texture | moisture | formula | effect
skin.pos = my dry patches are gone after {span} | sinks in without grease | no redness, and I react to everything
    | skin feels like skin again | people ask if I have been on holiday
skin.neg = brought me out in spots | burns when I put it on | sits on top like paint | my face was red for two days
    | made my skin tight and flaky | rolls off under make-up
smell.x = smell | scent | fragrance
smell.pos = smells fresh and fades quickly | a light clean scent | no chemical smell when you open it
smell.neg = reeks of plastic | stinks of glue even after airing it for days | the perfume gave me a headache
    | a musty smell I could not get rid of
durability.x = build | durability | quality | construction
durability.pos = still like new after {span} | survived a fall down the stairs | built to be handed down | solid, nothing wobbles
    | has taken a beating and asks for more
durability.neg = fell apart after {span} | broke the third time I used it | cheap plastic where it matters | it wobbles
    | cracked without being dropped | the bin men have it now | lasted exactly until the return window closed
"""

BUYING = """
delivery.x = delivery | shipping | courier | dispatch
delivery.pos = came a day early | here in two days | the driver waited for me to find my shoes | delivery was quick and well tracked
    | arrived before the weekend as promised
delivery.neg = took three weeks to get here | the courier left it in the rain | delivery kept being pushed back
    | marked as delivered, found it at a neighbour's four days later | two missed dates and no apology
packaging.x = packaging | box | wrapping
packaging.pos = well packed with hardly any plastic | nice box, good as a present | wrapped with care
packaging.neg = the box was crushed | thrown in a bag with no padding | seal was broken when it came
    | wrapped in more plastic than a supermarket
price.x = price | value | value for money
price.pos = a bargain for {price} | worth every penny | I would have paid more | cheaper than the famous brand and no worse
    | great value in the sale
price.neg = {price} for this is cheeky | overpriced by half | not worth a tenner | I have had better from the market for less
    | you pay for the name | reduced the week after, of course
service.x = customer service | support | after-sales | help desk
service.pos = support answered within the hour | they sent a replacement with no fuss | a real person called me back
service.neg = support never wrote back | they sent me round in circles | was told it is my own fault | four emails and still nothing
    | the chat bot was no use
"""

WHOLE = """
pos_whole = a {good} {noun} | [simply|just] {good} | {good} from start to finish | {good} and {good} | all in all {so_good}
    | overall a {good} buy | the whole thing is {good} | [so|really|very] [happy|pleased|chuffed] with this {thing}
    | I would buy it again [tomorrow|in a heartbeat|without thinking] | [highly|warmly] recommended
| already ordered [a second one|another for {who}] | best {noun} I have owned | I was sceptical and I take it back
    | [just what|exactly what] I was after
| no regrets | {who} wants one now | cannot think of anything to improve | do not hesitate | it has become my favourite
    | I nearly sent it back unopened and am glad I did not
| small things could be better but I would not part with it | could not be happier | ignore the bad reviews | I have nothing bad to say
    | it never disappoints
neg_whole = a {bad} {noun} | [simply|just] {bad} | {bad} from start to finish | {bad} and {bad} | all in all {so_bad}
    | overall a {bad} buy | the whole thing is {bad} | [so|really|very] [unhappy|annoyed|fed up] with this {thing}
    | I would not buy it again [at half the price|if you paid me] | [save your money|keep looking|steer clear|avoid] | going straight back
    | worst {noun} I have owned | I was optimistic and I take it back | [nowhere near|not remotely] what I was after
| I regret the day I clicked buy | {who} told me not to | I want my money back | do not believe the good reviews
    | it has moved to the back of the cupboard
| small things are good but I cannot keep it | could not be more let down | I have nothing good to say | never again
    | asked for a refund the same day | how did this pass a check
mid_whole = it does the job, no more | neither thrilled nor upset | I am in two minds | keeping it, but only because returning is a hassle
    | good in parts | might suit someone else better
| three stars feels about right | if you find it in the sale, maybe | it is fine, I suppose | not sure I would buy it again | okay for now
| I wanted to love it and I sort of like it | half of me is happy with this {thing} | you get what you pay for | jury is still out
    | would be great if they fixed that one thing
sarcasm = great, another {noun} for the bin | five stars for the photographer, the {noun} itself is another matter
    | wonderful, if you enjoy sending things back
| what a treat to pay {price} for a {noun} that {who} could have made in the dark | superb, it lasted a whole evening
    | lovely of them to include a broken one
| fantastic paperweight | brilliant idea to sell a {noun} you cannot use | congratulations on the marketing, truly
    | I am thrilled to own the only {noun} that gets worse by itself
joke = I hate it, because now {who} keeps stealing it | bad news for my bank account, I want one in every colour
    | terrible, I cannot stop using it | warning, you will be asked about it all the time | my old {noun} is crying in the bin
    | awful how much I like this | I was ready to complain and they gave me no reason
context = bought this for {who} | I have had it for {span} now | this was a present for {who} | second {noun} from {brand} I have owned
    | ordered it on a whim | I needed a {noun} in a hurry
| I am 5'[2|3|4|6|8|10] and ordered a {size} | got it in {color} | my old {noun} gave up after ten years
    | saw it on a friend and had to ask | used it nearly every day for {span}
| I do not usually write reviews | updating this after {span} | I read every review before buying | {who} picked the colour
    | I compared [three|four|five] brands before this one
| first order from this shop | bought it with a voucher | it was on my list since {span} | we are a family of [four|five] so it gets used
aside = my last {noun} was {good} | my last {noun} was {bad} | {who} calls it {good} | {who} calls it {bad}
    | I had read that the {x} was {bad} | I had read that the {x} was {good} | the photos look {good} | the photos look {bad}
    | the one {who} owns has {good} {x} | the one {who} owns has {bad} {x} | some say {good}, some say {bad}
    | the dearer one in the shop felt {good} | the dearer one in the shop felt {bad} | the advert says {good}
    | {who} expected something {bad} | {who} expected something {good} | other shops have {bad} {x} | other shops have {good} {x}
    | the model before this had {good} {x} | the model before this had {bad} {x}
contrast = {a}, but {b} | although {a}, {b} | {a}. However, {b} | {a}, yet {b} | {a}; shame that {b} | {a} - that said, {b}
    | while {a}, {b} | {a}, still, {b} | I admit {a}, only {b}
relief = {a}, but {b} | although {a}, {b} | {a}. Then again, {b} | {a}, yet {b} | {a} - still, {b} | true, {a}, but {b} | even if {a}, {b}
    | {a}, though in the end {b}
balance = {a}; {b} | {a}, {b} | {a}. On the other hand, {b} | {a}. Then there is this: {b} | on one side {a}, on the other {b}
    | {a} and at the same time {b} | {a} while {b}
both = {a} and {b} | {a}, {b} | {a}, plus {b} | {a}; {b} | {a}, also {b} | {a} and, on top of that, {b} | {a} - {b}
hedge = I think | to be fair | in my opinion | if I am honest | for what it is worth | so far | at least for me
    | maybe I got unlucky or lucky, but | to be blunt | I must say
pos_title = {good} | {good} and {good} | {good} {x} | a {good} buy | {so_good} | {good} | {very} {good} | {good} {noun} | love the {x}
    | so glad I bought it | better than I feared | not {bad} at all | worth it | happy with the {x} | no complaints | a keeper
    | pleasant surprise | would buy again | my new favourite | did not disappoint | wow | exactly right | proved me wrong
neg_title = {bad} | {bad} and {bad} | {bad} {x} | a {bad} buy | {so_bad} | {bad} | {very} {bad} | {bad} {noun} | what happened to the {x}
    | so sorry I bought it | worse than I feared | not {good} at all | not worth it | unhappy with the {x} | went back | what a shame
    | would not buy again | expected more | did not last | hmm, no | not as described | had high hopes | sent it back
mid_title = {fine} | mixed feelings | {good} {x}, {bad} {y} | not sure | okay for the price | so so | half good | could be better | 50/50
    | good idea, fair result | it depends | meh, but usable
any_title = {noun} | my {noun} | {brand} {noun} | after {span} | for {who} | about the {x} | my thoughts | {color} {noun}
    | read this first | honest review | update | the {x}
short_pos = {good} and {good} | {good}, {very} {good} | {very} {good} {noun} in {color} | {good} {x} and a {good} {noun}
    | all {good}, the {x} above all | the {x} is {good} | {good} | {very} {good} | {good} {noun} | love it | perfect, thanks
    | no complaints here | {good}, {who} loves it too | does everything right | ten out of ten | {good} {x}, {good} {y}
short_neg = {bad} and {bad} | {bad}, {very} {bad} | {very} {bad} {noun} in {color} | {bad} {x} and a {bad} {noun}
    | all {bad}, the {x} above all | the {x} is {bad} | {bad} | {very} {bad} | {bad} {noun} | do not buy | sent back | broke, no reply
    | {bad}, {who} agrees | does nothing right | two out of ten | {bad} {x}, {bad} {y}
short_mid = {good} but {bad} too | {fine}, {very} {fine} | {fine} {noun} in {color} | {good} {x} but {bad} {y} | all {fine}, the {x} too
    | the {x} is {fine} | {fine} | it is {fine} | {good} {x}, {bad} {y} | meh | could be better | {fine} {noun} | okay, not more
    | five out of ten | it works | {fine} for {who}
fake_title = Amazing product!!! | Best purchase ever, five stars | Must buy for everyone
fake_body = I am very satisfied with this amazing product, [the quality is perfect and the seller is the best|it is perfect for
    me and all my family]. [Fast delivery, great price|Great price, fast delivery], [highly recommend to everyone|everyone should
    buy this now]! Thank you [seller|very much]!
stop = . | . | . | . | . | . | . | . | . | . | ! | ...
"""

REVIEWS = HAPPENINGS + FRAMES + WEARING + USING + BUYING + WHOLE
