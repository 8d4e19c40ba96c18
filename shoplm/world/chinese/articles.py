"""The help articles of the Chinese shop: title, body with ``{rule}`` for what a policy says, intents."""

ARTICLES = (
    ("退货", "签收后{return_days}天内可以退货。在订单里打印退货单，包好后交给任意快递点，运费由我们承担。超过{return_days}天，除质量问题外不能退。", ("return_item",)),
    ("换货", "签收后{return_days}天内可以换尺码或颜色，在订单里选好新的，把原件寄回。新的会为您留着。", ("exchange_item",)),
    ("退款多久到账", "收到退货后我们放款，银行一般{refund_days}个工作日内到账，原路退回。", ("refund_status",)),
    ("取消订单", "发货前都可以取消。发货后请拒收或免费退回。", ("cancel_order",)),
    ("修改地址", "发货前可以改地址，发货后只能由快递转寄。", ("change_address",)),
    ("包裹在哪", "下单后一到三天发货，路上一到六天，发货后可以查物流。", ("track_order",)),
    ("运费", "满{free_delivery_from}元包邮。可以放快递柜，也可以选次日达。", ("delivery_options",)),
    ("破损、错发、少发", "拍张照片发给我们，当天补发，坏的不用寄回。", ("damaged_item", "wrong_item", "missing_item")),
    ("保修", "所有商品保修{warranty_months}个月，质量问题免费修换，正常磨损不保。报订单号就行。", ("warranty",)),
    ("价格保护", "下单后{price_match_days}天内降价，补差价。", ("price_match",)),
    ("优惠券", "一单一券，特价商品不可用，过期作废。", ("coupon_problem",)),
    ("付款", "支持微信、支付宝、银行卡和花呗。付款失败时扣的钱几天内自动退回。", ("payment_failed",)),
    ("发票", "电子发票在订单里下载，公司抬头和税号请联系客服。", ("invoice_request",)),
    ("礼品卡", "礼品卡三年有效，可以抵一部分，不能兑现。", ("gift_card",)),
    ("积分", "一元一分，过了退货期到账，一年内有效，退货会扣回。", ("loyalty_points",)),
    ("账号", "登录页可以重设密码，链接一小时内有效。账号可以合并或注销，推送可以退订。", ("account_login", "newsletter")),
    ("选尺码", "图片下面有尺码表，介于两个码之间选大一码。", ("size_advice",)),
    ("缺货", "在商品页点到货提醒，补货后通知您，一般两周内补货。", ("stock_question",)),
)  # fmt: skip
CREATIVES = ("{brand}{noun}，为{use}而做。", "当季{color}{noun}，{price}起。")
