"""The Chinese catalogue: the same twelve categories, by invented brands, in words a shop would print."""

CATALOGUE = """
brand = 云杉里 | 拾木 | 南屿 | 半山集 | 青禾记 | 鹿野 | 白露家 | 山月 | 一尺布 | 海盐巷 | 木槿堂 | 星桥 | 北纬三十 | 素里 | 禾间 | 朝露

dress.path = 服饰 > 女装 > 连衣裙
dress.style = 裹身 | 中长款 | 衬衫式 | 吊带 | A字 | 百褶
dress.noun = 连衣裙
dress.material = 纯棉 | 亚麻混纺 | 真丝 | 雪纺 | 针织
dress.color = 藏青色 | 墨绿色 | 豆沙粉 | 黑色 | 米白色
dress.use = 上班和下班后的聚会 | 夏天的傍晚 | 度假 | 参加婚礼
dress.feature = 两侧暗袋 | 可拆腰带 | 内衬防透 | 隐形拉链
dress.sku = DR

jacket.path = 服饰 > 户外 > 外套
jacket.style = 工装 | 防雨 | 轻薄羽绒 | 夹棉 | 通勤
jacket.noun = 外套
jacket.material = 再生尼龙 | 蜡棉 | 防泼水面料 | 羊毛混纺
jacket.color = 橄榄绿 | 黑色 | 灰蓝色 | 姜黄色
jacket.use = 阴晴不定的春秋天 | 骑车上班 | 周末爬山
jacket.feature = 双向拉链 | 可调节帽子 | 压胶防水 | 内侧手机袋
jacket.sku = JK

trainers.path = 鞋靴 > 运动鞋
trainers.style = 跑步 | 复古 | 板鞋款 | 越野 | 日常
trainers.noun = 运动鞋
trainers.material = 透气网布 | 麂皮 | 头层牛皮 | 飞织
trainers.color = 白色 | 黑色 | 浅灰色 | 天蓝色
trainers.use = 每天通勤走路 | 晨跑五公里 | 站一整天
trainers.feature = 加厚鞋跟 | 宽楦鞋头 | 防滑大底 | 可换鞋垫
trainers.sku = TR

knit.path = 服饰 > 针织
knit.style = 麻花 | 高领 | 圆领 | 宽松 | 罗纹
knit.noun = 毛衣 | 开衫
knit.material = 美丽诺羊毛 | 羊绒混纺 | 棉线 | 马海毛
knit.color = 燕麦色 | 炭灰色 | 酒红色 | 奶白色
knit.use = 空调房 | 冬天打底 | 慵懒的周末
knit.feature = 不扎脖子的领口 | 落肩袖 | 收紧的下摆
knit.sku = KN

headphones.path = 数码 > 影音 > 耳机
headphones.style = 头戴式 | 入耳式 | 降噪 | 运动
headphones.noun = 耳机
headphones.material = 磨砂塑料 | 铝合金 | 蛋白皮
headphones.color = 黑色 | 银色 | 雾蓝色
headphones.use = 地铁和办公室 | 夜跑 | 长时间开会
headphones.feature = 三十小时续航 | 可折叠 | 双麦通话 | 快充
headphones.sku = HP

watch.path = 数码 > 穿戴 > 智能手表
watch.style = 运动 | 经典 | 轻薄 | 户外
watch.noun = 手表
watch.material = 不锈钢 | 铝合金 | 陶瓷
watch.color = 石墨色 | 玫瑰金 | 黑色
watch.use = 总忘记充电的人 | 游泳 | 记录睡眠
watch.feature = 心率监测 | 五天续航 | 强光下可视的屏幕 | 快拆表带
watch.sku = SW

kettle.path = 家居 > 厨房 > 水壶
kettle.style = 细口 | 快煮 | 玻璃 | 恒温
kettle.noun = 烧水壶
kettle.material = 304不锈钢 | 高硼硅玻璃 | 搪瓷
kettle.color = 奶油色 | 哑光黑 | 豆绿色
kettle.use = 手冲咖啡 | 一家人泡茶 | 小厨房
kettle.feature = 保温键 | 大口径壶盖 | 防干烧 | 底座绕线
kettle.sku = KT

pan.path = 家居 > 厨房 > 锅具
pan.style = 平底 | 深炒 | 煎烤 | 小号
pan.noun = 炒锅 | 煎锅
pan.material = 铸铁 | 精铁 | 陶瓷涂层 | 三层钢
pan.color = 黑色 | 奶油色 | 墨绿色
pan.use = 煎蛋 | 爆炒 | 一个人的晚饭
pan.feature = 隔热手柄 | 电磁炉可用 | 双侧导流口
pan.sku = PN

backpack.path = 箱包 > 双肩包
backpack.style = 卷口 | 通勤 | 电脑 | 旅行 | 迷你
backpack.noun = 双肩包
backpack.material = 帆布 | 防水尼龙 | 涂层面料
backpack.color = 卡其色 | 黑色 | 湖蓝色
backpack.use = 出差三天 | 上学 | 骑车上下班
backpack.feature = 独立电脑仓 | 侧边水杯袋 | 防盗暗袋 | 拉杆固定带
backpack.sku = BP

lamp.path = 家居 > 灯具 > 台灯
lamp.style = 书桌 | 床头 | 落地 | 夹式
lamp.noun = 台灯
lamp.material = 黄铜 | 乳白玻璃 | 胡桃木
lamp.color = 暖白色 | 墨绿色 | 黑色
lamp.use = 睡前看书 | 孩子写作业 | 昏暗的角落
lamp.feature = 三档调光 | 触控开关 | 加重底座 | USB接口
lamp.sku = LP

bedding.path = 家居 > 卧室 > 四件套
bedding.style = 水洗 | 贡缎 | 磨毛 | 泡泡纱
bedding.noun = 四件套
bedding.material = 长绒棉 | 亚麻 | 天丝 | 全棉
bedding.color = 白色 | 灰绿色 | 浅杏色
bedding.use = 怕热的人 | 冬天 | 客房
bedding.feature = 四角系带 | 隐藏拉链 | 同料收纳袋
bedding.sku = BD

cream.path = 美妆 > 护肤 > 面霜
cream.style = 日用 | 晚安 | 修护 | 清爽
cream.noun = 面霜
cream.material = 角鲨烷 | 玻尿酸 | 神经酰胺 | 烟酰胺
cream.color = 无香型 | 绿茶香 | 橙花香
cream.use = 干燥的冬天 | 敏感肌 | 上妆之前
cream.feature = 按压泵头 | 可替换内芯 | 好吸收的质地
cream.sku = FC

piece = {noun}
Line = 晨 | 岚 | 渡口 | 微光 | 旷野 | 慢慢 | 小满 | 知秋
wearable_title = {brand}{style}{noun} {material} {color} | {brand}「{Line}」系列{style}{material}{noun}（{color}）
    | {color}{material}{style}{noun} {brand}
thing_title = {brand}{style}{noun}（{color}） | {brand}「{Line}」{style}{noun} {material} | {style}{noun} {color} {brand}
opening = 为{use}而做。 | 适合{use}。 | {use}，选它就对了。 | 我们为{use}想了很久，才有了这款{noun}。
body = 选用{material}，配有{feature}和{feature2}。 | {material}材质，带{feature}。 | {feature}、{feature2}，细节都替你想好了。
ending = 图为{color}。 | 两年质保。 | 三十天无理由退货。 | 下单前请先看尺寸表。 | 小批量生产，售完再等。
description = {opening}{body} | {opening}{body}{ending} | {body}{ending}
search = {color}{noun} | {noun} | {material}{noun} | {brand}{noun} | {style}{noun} | {use}{noun} | {brand} | 便宜的{noun}
"""
