"""The English catalogue: what is sold, by invented brands, in words a shop would print."""

CATALOGUE = """
brand = Marlowe & Finch | Tideway | Ostrava Nine | Pellworth | Hearthline | Kestrel Lane | Nordvale | Bramblecott | Solano Works
    | Aldermoor | Quillfeather | Junipero | Wexley | Corvane | Sable & Rye | Lumetti | Ferncastle | Ondula | Brightwater | Halden Row
dress.path = Clothing > Women > Dresses
dress.style = Wrap | Midi | Tea | Shirt | Slip | Tiered Maxi | A-Line | Pleated
dress.noun = dress
dress.material = cotton poplin | viscose | linen blend | satin | jersey | crepe
dress.color = navy | emerald | dusty pink | black | rust | ivory | cobalt
dress.use = weddings and long lunches | the office and after | warm evenings | holidays with hand luggage only
dress.feature = side pockets that lie flat | a waist tie you can take off | a lined skirt | sleeves that button back | a hidden zip
dress.sku = DR
jacket.path = Clothing > Outdoor > Jackets
jacket.style = Field | Rain | Quilted | Bomber | Down | Trail Shell | Waxed | Commuter
jacket.noun = jacket
jacket.material = recycled nylon | waxed cotton | ripstop polyester | brushed twill | two-layer shell | wool blend
jacket.color = olive | black | slate | mustard | navy | burgundy
jacket.use = wet walks to the station | autumn weekends | days that cannot make up their mind | the school run in January
jacket.feature = a two-way zip | an adjustable hood | taped seams | a phone pocket on the inside | ribbed cuffs
jacket.sku = JK
trainers.path = Shoes > Trainers
trainers.style = Road | Court | Retro | Trail | Knit | Everyday | Canvas | Studio
trainers.noun = trainers
trainers.material = mesh | suede | full-grain leather | knitted polyester | canvas
trainers.color = white | black and gum | sand | grey | sky blue | forest green
trainers.use = five easy miles | standing all day | city breaks | gym floors and bus queues
trainers.feature = a cushioned heel | a wide toe box | laces that stay tied | a removable insole | a grippy outsole
trainers.sku = TR
knit.path = Clothing > Knitwear
knit.style = Cable | Roll-Neck | Cropped | Fisherman | Crew-Neck | Oversized | Ribbed | Fair Isle
knit.noun = jumper | cardigan
knit.material = lambswool | merino | cotton cashmere | alpaca blend | chunky wool | soft acrylic
knit.color = oatmeal | charcoal | moss | cranberry | cream | denim blue
knit.use = cold offices | slow Sundays | layering under a coat | bonfire nights
knit.feature = a dense rib hem | dropped shoulders | a collar that does not itch | horn-look buttons | double cuffs
knit.sku = KN
headphones.path = Electronics > Audio > Headphones
headphones.style = Over-Ear | In-Ear | On-Ear | Noise-Cancelling | Open-Back | Sport | Travel
headphones.noun = headphones
headphones.material = matt plastic and memory foam | aluminium | recycled plastic | vegan leather and steel
headphones.color = black | silver | midnight blue | white | sage
headphones.use = trains, planes and open-plan offices | runs in the rain | long calls | late-night listening
headphones.feature = 30 hours on one charge | a folding hinge | two microphones for calls | fast charging by USB-C | a carry case
headphones.sku = HP
watch.path = Electronics > Wearables > Smartwatches
watch.style = Active | Classic | Slim | GPS | Square | Outdoor | Hybrid
watch.noun = smartwatch
watch.material = brushed steel and silicone | aluminium | ceramic and nylon | resin
watch.color = graphite | rose gold | black | silver | ocean green
watch.use = runners who forget to charge | swimmers | counting steps at a desk job | sleep nerds
watch.feature = a heart-rate sensor | five days of battery | a screen you can read in the sun | swim-proof sealing | quick-release straps
watch.sku = SW
kettle.path = Home > Kitchen > Kettles
kettle.style = Gooseneck | Rapid-Boil | Glass | Whistling | Variable-Temperature | Compact | Retro Dial
kettle.noun = kettle
kettle.material = stainless steel | borosilicate glass | enamelled steel | double-walled steel
kettle.color = cream | matt black | copper | sage | polished steel
kettle.use = pour-over coffee | big pots of tea | small kitchens | early risers with thin walls
kettle.feature = a keep-warm button | a limescale filter | a lid that opens wide | cord storage under the base | a drip-free spout
kettle.sku = KT
pan.path = Home > Kitchen > Cookware
pan.style = Frying | Sauté | Griddle | Crêpe | Stir-Fry | Deep | Skillet
pan.noun = pan
pan.material = cast iron | carbon steel | ceramic-coated aluminium | tri-ply steel | hard-anodised aluminium
pan.color = black | graphite | cream | teal | brushed steel
pan.use = eggs that slide | steaks with a crust | weeknight stir-fries | one-pan suppers
pan.feature = a stay-cool handle | two pouring lips | a base for every hob, induction too | an oven-safe handle | a helper handle
pan.sku = PN
backpack.path = Bags > Backpacks
backpack.style = Roll-Top | Commuter | Day | Travel | Laptop | Weekend | Hiking | Mini
backpack.noun = backpack
backpack.material = waxed canvas | recycled nylon | coated polyester | cotton canvas | ballistic nylon
backpack.color = tan | black | petrol blue | olive | terracotta
backpack.use = a laptop, lunch and a change of shoes | weekend trips | school days | cycling to work
backpack.feature = a padded laptop sleeve | a bottle pocket on each side | a luggage strap | a hidden passport pocket | a chest clip
backpack.sku = BP
lamp.path = Home > Lighting > Lamps
lamp.style = Desk | Bedside | Floor | Clip-On | Arc | Mushroom | Architect
lamp.noun = lamp
lamp.material = powder-coated steel | opal glass | oak and linen | brass | ribbed ceramic
lamp.color = brass | white | forest green | black | terracotta
lamp.use = reading after everyone else is asleep | home offices | dark corners | sketching and small repairs
lamp.feature = three steps of brightness | a touch switch | a heavy base | a fabric-covered cable | a USB port in the foot
lamp.sku = LP
bedding.path = Home > Bedroom > Duvet Covers
bedding.style = Percale | Sateen | Washed | Seersucker | Brushed | Waffle
bedding.noun = duvet set
bedding.material = organic cotton | French linen | bamboo viscose | brushed cotton | cotton percale
bedding.color = white | sage | stone | blush | indigo stripe | ochre
bedding.use = hot sleepers | cold bedrooms | guest rooms | people who do not iron
bedding.feature = corner ties | an envelope pillowcase | hidden buttons | a deep fold for the duvet | a storage bag of the same cloth
bedding.sku = BD
cream.path = Beauty > Skincare > Face Creams
cream.style = Day | Night | Barrier | Gel | Rich | Calming | SPF 30 Day
cream.noun = face cream
cream.material = squalane and oat | hyaluronic acid | shea and jojoba | ceramides | niacinamide
cream.color = unscented | rose | green tea | neroli
cream.use = dry winters | skin that reacts to everything | oily T-zones | wearing under make-up
cream.feature = a pump that doses well | a refill pouch | a glass jar | a fast-absorbing texture | no added perfume
cream.sku = FC
wearable_title = {brand} {Style} {Noun} in {Material}, {Color} | {brand} {Style} {Noun}, {Color} {Material}
    | {Style} {Noun} by {brand}, {Color} | {brand} Women's {Style} {Noun} - {Color} | {brand} '{Line}' {Style} {Noun} in {Color}
    | {Color} {Material} {Style} {Noun}, {brand}
thing_title = {brand} {Style} {Noun}, {Color} | {brand} '{Line}' {Style} {Noun}, {Material} | {Style} {Noun} by {brand} ({Color})
    | {brand} {Line} {Noun} - {Style}, {Color} | {brand} {Style} {Noun} in {Material}, {Color}
Line = Aspen | Harbour | Mira | Otto | Lowick | Vera | Isla | Tarn | Pico | Bodil | Rowan | Sefton | Juno | Arlo | Fjord | Clement
piece = {noun}
trainers.piece = pair of trainers
headphones.piece = pair of headphones
opening = Made for {use}. | What we made for {use}. | For {use}. | Our best answer to {use}.
    | [Designed|Drawn|Thought through] with {use} in mind. | A {piece} for {use}, and for most other things too.
    | {brand} set out to make one {piece} for {use}; here it is.
body = [Cut from|Made of|Built from|In] {material}, with {feature}. | {material} throughout, plus {feature} and {feature2}.
    | It has {feature} and {feature2}. | You get {feature}, and the {material} [ages|wears|holds up] well.
    | [Expect|Look for] {feature}, {feature2} and honest {material}.
ending = Shown here in {color}. | Colour: {color}. | Two-year guarantee. | Comes in a plain card box. | Free returns within 30 days.
    | Designed in-house, made in small runs. | Check the size chart or the measurements before you order. | {brand} repairs what it sells.
description = {opening} {body} | {opening} {body} {ending} | {body} {ending} | {opening} {body} {ending} | {body}
search = {color} {noun} | {noun} | {material} {noun} | {brand} {noun} | {style} {noun} | {noun} for {use} | best {noun} | {brand}
    | cheap {noun} | {style} {noun} {color}
"""
