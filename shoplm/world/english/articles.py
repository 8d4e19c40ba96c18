"""The help articles of the English shop: title, body with ``{rule}`` for what a policy says, intents."""

ARTICLES = (
    ("Returns", "You may send things back within {return_days} days of delivery. Print the label from your account under Orders, pack the item and drop it at any parcel shop. Returns are free. After {return_days} days we cannot take things back unless they are faulty.", ("return_item",)),
    ("Exchanges", "To swap a size or a colour, choose the new one under Orders within {return_days} days and send yours back with the label. We put the new one aside for you; it leaves as soon as yours is on its way.", ("exchange_item",)),
    ("When you get your money back", "We release the money when your return has arrived. Your bank shows it within {refund_days} working days, on the way you paid.", ("refund_status",)),
    ("Cancelling an order", "An order can be cancelled until it is shipped. After that, refuse the parcel at the door or send it back free of charge.", ("cancel_order",)),
    ("Changing the address", "We can change the address until the order is shipped. Afterwards only the courier can redirect it.", ("change_address",)),
    ("Where your parcel is", "Tracking begins when the parcel leaves us, one to three days after the order, and the journey takes one to six days more.", ("track_order",)),
    ("Delivery and postage", "Delivery is free from {free_delivery_from} pounds, otherwise it costs 3.95. Express arrives the next working day. Lockers and parcel shops are possible.", ("delivery_options",)),
    ("Damaged, wrong or missing", "Send us a photo of what came. We send a replacement the same day, and you need not return what is broken.", ("damaged_item", "wrong_item", "missing_item")),
    ("Guarantee", "Everything has a guarantee of {warranty_months} months. Faults are repaired or replaced; wear is not covered. Your order number is enough, the box is not needed.", ("warranty",)),
    ("Lower prices elsewhere", "If a price falls within {price_match_days} days of your order, here or at another shop that has it in stock, we pay the difference.", ("price_match",)),
    ("Codes and vouchers", "One code an order, typed in at the basket. Codes do not count for reduced items and run out on the day printed on them.", ("coupon_problem",)),
    ("Paying", "We take cards, PayPal, Apple Pay, Google Pay and Klarna. If a payment fails, what you see at the bank is a hold that disappears within days.", ("payment_failed",)),
    ("Invoices", "Every invoice is in your account under Orders. Write to us if a company name or a tax number has to be on it.", ("invoice_request",)),
    ("Gift cards", "Gift cards are valid for three years, can pay a part, and cannot be turned into money.", ("gift_card",)),
    ("Points and levels", "One point for every pound. Points count once the return window is over and expire after a year. Returned items cost the points they brought.", ("loyalty_points",)),
    ("Your account", "Reset your password from the sign-in page; the link works for an hour. Accounts can be merged or closed on request.", ("account_login", "newsletter")),
    ("Choosing a size", "Measurements in centimetres are under the photos. Between two sizes take the larger one, unless the page says that it comes up large.", ("size_advice",)),
    ("Sold out", "Press the bell on the product's page and you get a mail when it is back. We restock most things within two weeks.", ("stock_question",)),
)  # fmt: skip
CREATIVES = ("{brand} {noun}: made for {use}.", "This season's {noun} in {color}. From {price}.")
