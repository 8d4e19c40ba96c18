"""What happened with a thing, told in everyday English: the mood is in what happened, seldom in a word of praise or blame.

There are far more ways to say it here than a small shop has reviews, and most words are rare, so that counting words
teaches little and knowing what they mean teaches much.
"""

GLAD = """
pos_happening = {pos_deed} | {pos_deed} | {pos_life} | {pos_life} | {pos_feeling} | {pos_others} | {pos_than} | {pos_fate} | {pos_twist}
pos_deed = the {x} [held up|bore up|kept its promise|delivered|came through|pulled its weight|rose to the occasion|did me proud]
    | the {x} [shrugged off|laughed off|weathered|withstood|coped with|survived] [a house move|two toddlers|a festival|a downpour|the dog|my commute|a family wedding|my clumsiness]
    | [sailed|breezed|glided|cruised|romped] through [a week of rain|the school run|my hardest day|a long shift|the holidays|our stress test]
    | the {x} [earned|deserves|has won] [its place|its keep|a medal|applause|a standing ovation|bragging rights|top marks]
    | it [purrs|hums along|ticks over nicely|runs like clockwork|behaves|plays along|obliges every time]
    | the {x} [ages like wine|mellows|gets better with use|keeps giving|stays fresh|looks the same as on day one]
    | it [slots right in|fell into place|found its home|belongs here|blends in] at [ours|my place|the office|my mum's]
    | does [precisely|exactly] what [was promised|I hoped|the label says|a {noun} ought to]
    | [not one|never a|zero] [hiccup|hitch|glitch|wobble|squeak|stumble|worry] in {span}
    | the {x} [saved|rescued|made] [my week|the trip|our anniversary|a grim Monday|my back|the evening]
pos_life = it [lives|sits|stays] [by the front door|on my desk|within reach|in pride of place] now
    | I [reach for it|grab it|pick it] [first|before any other|without thinking|most mornings]
    | I [invent|look for|find] excuses to [use it|take it out|show it off]
    | the old one [went to charity|is gathering dust|has been retired|never came out again]
    | cannot [picture|imagine|remember] [mornings|winter|travelling|life] without it
    | [already|now] on my [second|third|fourth], [one for each room|one for the office|one put away in case they stop making it]
    | I [cleared a shelf|made room|changed my routine] for it
    | I keep it [within arm's reach|on the good shelf|away from {who}] so nobody [borrows|pinches|nabs] it
    | it [travels|goes|comes] everywhere with me | it gets used until {span} feels like a day
    | I packed it before my toothbrush | my wishlist is one entry shorter and my days are easier
pos_feeling = I [grinned|beamed|squealed|danced a little|clapped|sighed with relief|did a double take] when I [opened it|tried it|saw the {x}]
    | [left|has|had] me [smiling|grinning|humming|speechless in a nice way|bouncing|over the moon]
    | [consider|colour|call] me [converted|smitten|hooked|charmed|sold|enchanted|a believer]
    | I could [hug|kiss|marry] whoever [designed|thought up|signed off] the {x}
    | it [cheers me up|brightens the hall|gives me a lift|makes chores bearable|feels like a treat]
    | my [inner magpie|inner child|tired feet|grumpy self] [rejoices|is singing|approves]
    | money has rarely [bought|given] me this much [joy|peace|comfort|calm]
    | I was [ready to moan|braced for a flop|sharpening my pen] and had to [swallow it|put it away|eat my hat]
    | that little [thrill|tingle|glow] has not worn off after {span}
pos_others = {who} [asked for the link|wants to swap|is green with envy|has dropped hints|keeps borrowing it|tried to keep it|ordered their own]
    | {who}, who [likes nothing|finds fault with everything|never says a nice word], [nodded|smiled|gave a thumbs up|asked where I got it]
    | strangers [stop me about|ask after|point at] the {x} | the [whole office|book club|team] has [followed suit|ordered too|taken notes]
    | {who} [thought I had spent a fortune|would not give it back|said I finally chose well|cried a bit when unwrapping it]
    | even the [cat|dog|baby|teenager] [approves|has claimed it|came out of hiding for it]
    | I have [talked three people into|bullied {who} into|gifted my friends] the same one
pos_than = [knocks spots off|leaves behind|runs rings around|outshines|outlasts|trumps|eclipses] [my previous one|the famous names|what {who} has|models twice the price]
    | the {x} [punches above|is streets ahead of|outclasses|tops] [its price|the rest|anything on the high street|the posh ones]
    | where my last one [gave in|sulked|crumbled|quit], this one [keeps going|carries on|soldiers on|does not flinch]
    | [should|ought to] have [cost double|been mine years ago|come first, before the other three]
    | I tested it next to [four|five|six] others and [sent those back|it was never close|it walked away with it]
    | every other {noun} I own [feels like a rehearsal|pales|is up for sale now]
pos_fate = they will have to [prise|wrestle|bury] it [from my hands|off me|with me]
    | the return slip went [straight into the recycling|in the bin unread|under the kettle as a coaster]
    | this one [stays|is here for good|is not going anywhere|will be in the will]
    | if it were [lost|stolen|eaten by the dog] I would [replace it within the hour|order it again before dinner|weep, then reorder]
    | [bookmarked|saved|noted] the shop for [birthdays|next time|every {noun} to come]
    | my [card|purse|wallet] is ready for [the next colour|another round|the matching set]
    | I look forward to [years|many winters|a long friendship] with it
pos_twist = I [searched|hunted|looked] for a [flaw|catch|weakness] [and came back empty-handed|in vain|for {span} and gave up]
    | I [feared|dreaded|expected] [tears|a fight|regret|a flop], and [there was none|none came|nothing of the sort happened]
    | [far|a long way] from the [disaster|nightmare|flop|rubbish] that the comments [predict|announce|describe]
    | whoever [wrote|says] it [falls apart|is a waste|disappoints] must own [another one|a different model|a copy]
    | the only thing I [regret|lament|would change] is [waiting so long|not buying two|the years without it]
    | [nothing|no part of it] has [broken|failed|let go|annoyed me] yet, and I am not [gentle|careful|kind to things]
    | I wanted to be [cross|disappointed|angry] about the price and [cannot|failed|am not]
    | if this is [cheap|low end|budget], I never need [luxury|better|the dear one]
"""

SORE = """
neg_happening = {neg_deed} | {neg_deed} | {neg_life} | {neg_life} | {neg_feeling} | {neg_others} | {neg_than} | {neg_fate} | {neg_twist}
neg_deed = the {x} [gave up the ghost|conked out|packed it in|threw in the towel|let go|caved in|bit the dust|went on strike]
    | the {x} [buckled|sagged|warped|splintered|peeled|blistered|frayed|crumbled|chipped] [under|after|during] [the mildest use|a house move|its first outing|a light shower|my commute|a family wedding]
    | [limped|stuttered|struggled|wheezed|staggered] through [a week|the school run|one easy day|a short shift|the holidays]
    | the {x} [needed|is crying out for|was begging for] [glue|tape|pliers|mercy|a rescue|a miracle|an apology]
    | it [groans|sulks|stalls|jams|hiccups|leaks|sheds|misbehaves|chafes] [every other day|at the worst moment|whenever it matters|without warning]
    | the {x} [ages like milk|gets worse with use|went downhill at once|looked ten years old within {span}|lost its shape and its shine]
    | it [sticks out|clashes|gets in the way|takes up space|gathers dust] at [ours|my place|the office|my mum's]
    | does [anything but|the opposite of|half of] what [was promised|I hoped|the label says|a {noun} ought to]
    | [one|yet another|hardly a day without a] [hiccup|hitch|glitch|wobble|squeak|stumble] [after the other|since I have it|too many]
    | the {x} [spoilt|sank|cost me] [my week|the trip|our anniversary|a good Monday|my back|the evening]
neg_life = it [lives|sits|stays] [in the garage|at the back of a drawer|in its box|under the stairs] now
    | I [avoid it|walk past it|leave it] [by now|every time|whenever there is another]
    | I [invent|look for|find] excuses [not to use it|to leave it at home|to hide it]
    | the old one [came back from the attic|had to return to duty|was fished out of the bin]
    | cannot [picture|imagine] [anyone wanting|a day with|lending {who}] it
    | [already|now] [looking for|shopping for|comparing] a [replacement|successor|proper {noun}]
    | I [cleared a shelf|made room|changed my routine] for it and [shall undo that|feel foolish|did so for nothing]
    | I keep it [out of sight|in the loft|for guests I do not like] so that nobody [asks about it|has to use it|gets hurt]
    | it [stays|is left|waits] at home | it was used for {span} and that felt like a year
    | I would rather [carry bricks|go without|borrow {who}'s] | my to-do list is one complaint longer
neg_feeling = I [groaned|winced|sighed|swore|gasped|cringed|could have wept|rolled my eyes] when I [opened it|tried it|saw the {x}]
    | [left|has|had] me [fuming|seething|sulking|speechless, and not in a nice way|gritting my teeth|in tears]
    | [consider|colour|call] me [cured|burnt|unimpressed|robbed|fooled|a sceptic|out]
    | I would like a word with whoever [designed|thought up|signed off] the {x}
    | it [drags me down|darkens the hall|gets on my nerves|makes chores longer|feels like a penance]
    | my [inner critic|purse|tired feet|patience] [is worn out|weeps|has had it]
    | money has rarely [bought|given] me this much [grief|bother|remorse|anger]
    | I was [ready to cheer|braced for joy|writing my praise] and had to [swallow it|tear it up|start over]
    | that little [dread|ache|sting] has not worn off after {span}
neg_others = {who} [laughed out loud|asked whether it was a joke|felt sorry for me|offered to pay for another|hid it|gave theirs away too]
    | {who}, who [likes everything|forgives anything|never complains], [shook their head|frowned|handed it back|asked why I keep it]
    | strangers [stare at|pity me for|smirk about] the {x} | the [whole office|book club|team] has [been warned|cancelled theirs|had a laugh]
    | {who} [thought it came from a cracker|gave it straight back|said I chose badly again|was too polite to speak]
    | even the [cat|dog|baby|teenager] [keeps away|turned up its nose|went into hiding from it]
    | I have [talked three people out of|warned {who} about|apologised to friends for] the same one
neg_than = [lags behind|is outdone by|loses to|trails|cannot touch|bows to] [my previous one|the famous names|what {who} has|models half the price]
    | the {x} [falls behind|is streets behind|is put to shame by|trails] [its price|the rest|anything on the high street|the supermarket ones]
    | where my last one [kept going|carried on|never flinched], this one [gives in|sulks|crumbles|quits]
    | [should|ought to] have [cost a tenth|stayed in the shop|come with a warning]
    | I tested it next to [four|five|six] others and [kept any of those|it came last|it was out in the first round]
    | every other {noun} I own [looks like luxury now|is safe|has my apologies]
neg_fate = they can [fetch|collect|have] it [any day|tomorrow|with my regards]
    | the return slip was [filled in within the hour|the best part of the parcel|used before I finished my tea]
    | this one [leaves|is going|will not see the weekend|is on its way to you]
    | if it were [lost|stolen|eaten by the dog] I would [shrug|send the thief a card|feel lighter]
    | [crossed off|blocked|struck] the shop for [birthdays|next time|every {noun} to come]
    | my [card|purse|wallet] [stays shut|wants an apology|remembers]
    | I look forward to [the refund|bin day|the day it is gone]
neg_twist = I [searched|hunted|looked] for a [merit|bright side|saving grace] [and came back empty-handed|in vain|for {span} and gave up]
    | I [hoped for|counted on|expected] [joy|an easy win|a treat|quality], and [there was none|none came|nothing of the sort happened]
    | [far|a long way] from the [dream|triumph|treasure|delight] that the comments [predict|announce|describe]
    | whoever [wrote|says] it [lasts|is a bargain|delights] must own [another one|a different model|shares in the firm]
    | the only thing I [enjoyed|would keep|can praise] is [the box|the ribbon|the walk to the post office]
    | [nothing|no part of it] has [worked|lasted|pleased me] yet, and I am [gentle|careful|kind to things]
    | I wanted to be [glad|thrilled|content] about the price and [cannot|failed|am not]
    | if this is [premium|high end|luxury], I never need [more of it|to see the cheap one|to find out]
"""

BETWEEN = """
mid_happening = it [comes|goes] and [goes|comes] with the {x} | the {x} [splits our household|divides us: {who} nods, I shrug]
    | [some days|half the time] I [reach for it|like it], [other days|the rest of the time] I [leave it|forget it]
    | neither [a hero nor a villain|a find nor a flop|fish nor fowl|here nor there]
    | I [shrugged|said hm|raised an eyebrow and lowered it again] when I saw the {x}
    | the {x} [passes|scrapes through|gets by|muddles along|treads water] | it will [do|serve|pass] until [something better turns up|spring|pay day]
    | [swings and roundabouts|win some, lose some|a bit of this, a bit of that] with the {x}
    | ask me [again in {span}|on another day] and I may say the opposite
    | I [neither|do not] [miss it when it is in the wash nor reach for it|regret it, nor would I queue for it]
    | {who} would [keep|take] it, I would [swap|leave] it, so we are [even|quits]
    | it [earns|gets] a [shrug|nod|maybe], [not a cheer and not a boo|nothing more and nothing less]
    | what the {x} [gives|gains], [something else|the rest] [takes|loses] | the middle of the road, [in every sense|lane and all]
    | [two|three] things [right|I like], [two|three] things [off|I do not] | it [neither shines nor stinks|does not thrill and does not hurt]
    | for every [plus|tick|smile] there is a [minus|cross|frown]
"""

AROUND = """
denied = it is not true that {a} | I read that {a}, and mine is the opposite | {who} swore: {a}. Wrong | {a}, they said. Nothing of the kind
    | forget everyone who writes "{a}" | I waited for the moment when I could say {a}, and it never came | do not believe the line "{a}"
    | "{a}" is what the others write, I cannot agree | if somebody tells you {a}, they mean another one | {a}? Quite the reverse
    | I had prepared the sentence "{a}" and had to delete it | in no way could I claim that {a} | {a}: that is precisely what did not happen
    | had it been so that {a}, I would have said so | you will look in vain for someone honest who says {a} | it is a myth that {a}
    | I bet {who} that I would soon report "{a}", and lost | hardly what you would describe as "{a}"
elsewhere = about the one before this I wrote: {a} | {who} has another make and says {a} | of its rival I would say {a}
    | of the {noun} I sent back last year: {a} | my sister-in-law on hers, which is a different brand: {a}
    | the shop round the corner sells one of which people say {a} | with the previous model it was different: {a}
    | for comparison, the {noun} at work: {a} | the one I hired on holiday, not this: {a} | my verdict on its predecessor: {a}
"""

HAPPENINGS = GLAD + SORE + BETWEEN + AROUND
