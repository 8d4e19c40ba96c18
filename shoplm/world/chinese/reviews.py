"""The Chinese of reviews: a smaller grammar of the same shape as the English one."""

from shoplm.world.chinese.happenings import HAPPENINGS

_OPINIONS = """
good = 很好 | 不错 | 满意 | 惊喜 | 超出预期 | 没话说 | 挺棒 | 真心好 | 靠谱 | 一流 | 讨喜 | 到位 | 无可挑剔 | 好得很 | 让人放心 | 赞
    | 出色 | 舒心 | 良心 | 绝了
bad = 很差 | 失望 | 糟糕 | 离谱 | 不行 | 敷衍 | 一言难尽 | 让人恼火 | 廉价 | 不合格 | 差劲 | 粗糙 | 坑人 | 没法用 | 太次 | 不像话
    | 令人无语 | 烂 | 闹心 | 掉价
fine = 一般 | 还行 | 凑合 | 中规中矩 | 马马虎虎 | 过得去 | 普普通通 | 说得过去 | 不好不坏
who = 我妈 | 老公 | 女儿 | 室友 | 同事 | 朋友 | 弟弟 | 我爸
span = 一周 | 半个月 | 一个月 | 三个月 | 小半年 | 几天
pos_frame = {x}{good} | {x}真的{good} | {x}比想象中好 | 本来担心{x}{bad}，结果完全没有 | {x}挑不出毛病 | 都说{x}{bad}，我这件倒是{good}
    | {x}一点也不{bad} | 最喜欢的是{x} | {x}没让我失望 | 冲着{x}也会再买 | {who}也夸{x}{good} | 之前那个{x}{bad}，这个强太多
neg_frame = {x}{bad} | {x}真的{bad} | {x}比想象中差 | 本来以为{x}{good}，结果完全不是 | {x}全是毛病 | 都说{x}{good}，我这件却{bad}
    | {x}一点也谈不上{good} | 最受不了的是{x} | {x}让我很失望 | 就因为{x}不会再买 | {who}也说{x}{bad} | 之前那个{x}{good}，这个差太多
mid_frame = {x}{fine} | {x}只能说{fine} | {x}谈不上{good}，也不算{bad} | {x}就那样 | {x}时好时坏 | {x}有点将就

fit.x = 尺码 | 版型 | 长度
fit.pos = 穿着正合身 | 按平时的{size}买刚刚好 | 梨形身材也显瘦 | 不用退换，一次就对
fit.neg = {size}小得穿不进去 | 大了整整一号 | 尺码表完全不准 | 穿上像个麻袋 | 一边长一边短
fabric.x = 面料 | 料子 | 质地
fabric.pos = 摸着有分量 | 夏天穿也不闷 | 贴身不扎 | 看着比价格贵
fabric.neg = 薄得透光 | 静电大得吓人 | 扎得脖子发红 | 说是{material}我不信
stitching.x = 做工 | 走线 | 细节
stitching.pos = 里外都收得整齐 | 一根线头都没有 | 扣子缝得很牢
stitching.neg = 穿第二次就开线 | 到处是线头 | 扣子到手就掉了一颗 | 腋下有个破洞
colour.x = 颜色 | {color} | 色差
colour.pos = 实物比照片还好看 | 颜色很显白 | 什么都能搭
colour.neg = 和图片差了十万八千里 | 洗一次就褪色 | 颜色发灰显旧
comfort.x = 舒适度 | 重量 | 手感
comfort.pos = 用一整天也不累 | 轻得像没带 | 不磨不硌
comfort.neg = 二十分钟就磨出泡 | 又重又硬 | 用一会儿就酸
wash.x = 洗护 | 洗后的样子
wash.pos = 机洗几次还跟新的一样 | 不缩水不起球
wash.neg = 冷水洗都缩了两个码 | 一洗就起球 | 把别的衣服都染了
softness.x = 柔软度 | 保暖
softness.pos = 软得不想起床 | 暖和又不闷
softness.neg = 硬得像纸板 | 半夜热醒 | 薄得没有存在感
storage.x = 收纳 | 拉链 | 口袋
storage.pos = 电脑水杯都装得下 | 拉链很顺
storage.neg = 第三天拉链就卡死 | 口袋浅得不敢放手机 | 背带断了
sound.x = 音质 | 低音 | 降噪
sound.pos = 老歌听出了新东西 | 一戴上世界就安静了 | 通话很清楚
sound.neg = 像在听收音机 | 左耳有杂音 | 对方说我像在水里
battery.x = 续航 | 充电
battery.pos = 一周充一次 | 出差三天没带线
battery.neg = 中午就没电了 | 放着不用也掉电 | 充电时烫手
connection.x = 连接 | 软件 | 配对
connection.pos = 十秒就连上 | 连{who}都会设置
connection.neg = 几分钟断一次 | 折腾一晚上没连上 | 更新之后就罢工
screen.x = 屏幕 | 触控
screen.pos = 大太阳下也看得清 | 字大反应快
screen.neg = 室外什么也看不见 | 袖子一蹭就花了 | 点三下才有反应
heat.x = 加热 | 火候 | 速度
heat.pos = 杯子还没找到水就开了 | 受热很均匀
heat.neg = 半天烧不热 | 中间糊了边上还是生的 | 手柄烫手
surface.x = 涂层 | 锅底 | 不粘效果
surface.pos = 鸡蛋自己滑出来 | 煎鱼不破皮
surface.neg = 什么都粘 | 涂层掉进菜里 | 过一夜就锈了
cleaning.x = 清洗 | 清洁
cleaning.pos = 一擦就干净 | 没有藏污的死角
cleaning.neg = 手伸不进去 | 全是水垢 | 指纹擦不掉
noise.x = 声音 | 噪音
noise.pos = 早上六点也不吵人 | 没吵醒宝宝
noise.neg = 响得像飞机起飞 | 嗡嗡个不停
light.x = 灯光 | 亮度
light.pos = 光线柔和不刺眼 | 看书眼睛不累了
light.neg = 第一晚就闪 | 暗得还要再买一盏 | 白得像停车场
skin.x = 肤感 | 保湿 | 效果
skin.pos = 干皮终于不起皮了 | 吸收快不油 | 敏感肌没泛红
skin.neg = 用了长痘 | 脸红了两天 | 搓泥
smell.x = 味道 | 气味
smell.pos = 淡淡的很好闻 | 没有塑料味
smell.neg = 一股胶水味散不掉 | 香得头疼
durability.x = 质量 | 耐用度
durability.pos = 用了{span}还像新的 | 摔了一次没事
durability.neg = 用了{span}就散架 | 第三次就坏了 | 刚过退货期就报废
delivery.x = 物流 | 快递
delivery.pos = 第二天就到了 | 快递小哥态度好
delivery.neg = 等了三个礼拜 | 扔在门口淋雨 | 显示签收其实没收到
packaging.x = 包装
packaging.pos = 包得很用心 | 送人也体面
packaging.neg = 盒子压扁了 | 连个气泡袋都没有
price.x = 价格 | 性价比
price.pos = {price}真的值 | 比大牌便宜还不输
price.neg = {price}买这个太亏 | 买完第二天就降价
service.x = 客服 | 售后
service.pos = 客服秒回 | 二话不说给换了
service.neg = 客服一直不理人 | 踢皮球 | 机器人答非所问

pos_whole = 会回购 | 推荐给大家 | 已经给{who}也买了一件 | 买得值 | 早知道早点买 | 小毛病有，但舍不得退 | 没什么可抱怨的 | 差评不用看
neg_whole = 不会再买 | 劝大家别买 | 已经申请退款 | 钱白花了 | 后悔没听{who}的 | 优点也有，但留不住 | 没什么可夸的 | 好评不能信
mid_whole = 能用，仅此而已 | 懒得退就留着了 | 打折可以考虑 | 一半满意一半不满意 | 三星差不多 | 再看看吧 | 一分钱一分货
sarcasm = 真棒，又多了一件垃圾 | 给摄影师五星，东西就算了 | 太厉害了，居然坚持了一个晚上 | 恭喜商家，营销做得真好
joke = 太讨厌了，天天被{who}抢走 | 完了，每个颜色都想要 | 本来想找茬，结果没找到
context = 买给{who}的 | 用了{span}来评价 | 第一次在这家买 | 我身高一六{digit}，买的{size} | 旧的{noun}用坏了才换 | 朋友推荐的
    | 活动时买的 | 买之前看了好多评价 | 追评
digit = 零 | 二 | 三 | 五 | 八
aside = 上一个{noun}{good} | 上一个{noun}{bad} | {who}说{good} | {who}说{bad} | 图片看着{good} | 别人都说{x}{bad} | 别人都说{x}{good}
    | 专柜那款{good} | 别家的{x}{bad}
contrast = {a}，但是{b} | 虽然{a}，可{b} | {a}，可惜{b} | {a}，就是{b} | {a}，不过{b}
relief = {a}，但是{b} | 虽然{a}，可{b} | {a}，好在{b} | {a}，不过{b} | 就算{a}，{b}
balance = {a}，{b} | {a}；另一方面{b} | 一边{a}，一边{b} | {a}，同时{b}
both = {a}，{b} | {a}，而且{b} | {a}，还有{b} | {a}，{b}
hedge = 说实话， | 个人觉得 | 目前看 | 公道地说， | 可能是我运气的问题， | 老实讲，
pos_title = {x}{good} | {good} | 值得买 | 喜欢 | 不后悔 | 没踩雷 | 一点不{bad}
neg_title = {x}{bad} | {bad} | 不值 | 踩雷了 | 退了 | 别买 | 一点不{good}
mid_title = {fine} | {x}{good}，{y}{bad} | 看个人 | 再说吧 | 凑合
any_title = {noun} | 用了{span} | 说说{x} | 给{who}买的 | {color}{noun} | 真实评价
short_pos = {x}{good}，{y}也{good} | {noun}{good} | {good}，{who}也喜欢 | {color}{noun}{good} | {x}{good}
short_neg = {x}{bad}，{y}也{bad} | {noun}{bad} | {bad}，{who}也这么说 | {color}{noun}{bad} | {x}{bad}
short_mid = {x}{good}，{y}{bad} | {noun}{fine} | {fine}吧 | {color}{noun}{fine} | {x}{fine}
fake_title = 超级好的宝贝！！！ | 全五星好评 | 闭眼入
fake_body = {fake_opening}，[物流超快|价格实惠]，[强烈推荐给大家|大家快来买]，谢谢[卖家|老板]，下次还会再来！
fake_opening = 宝贝收到了非常满意，[质量特别好，卖家态度也好|全家人都喜欢]
stop = 。 | 。 | 。 | 。 | 。 | 。 | 。 | 。 | ！ | ～
"""

REVIEWS = HAPPENINGS + _OPINIONS
