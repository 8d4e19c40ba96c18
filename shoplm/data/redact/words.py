"""Words that personal names and postal addresses are recognised by: written by hand, English and Chinese.

A list here is evidence, never the whole proof: ``redact`` says which surroundings a word of it needs.
"""

from __future__ import annotations

_FIRST = """
aaron adam adrian agnes aisha alan albert alejandro alex alexander alexandra alice alicia alison allison amanda amelia amina amir amy ana
anders andrea andreas andrew andy angela anita anja anna anne annie anthony antonio arjun arthur ashley astrid audrey barbara beatrice
ben benjamin bernard beth bethany betty bianca bjorn bob bradley brenda brian bridget bruno caitlin callum camille carl carla carlos
carmen caroline catherine cecilia charles charlie charlotte chiara chloe chris christian christina christine christopher claire clara
claudia colin connor craig cynthia daniel daniela danielle dave david deborah denise dennis derek diana diego dimitri dmitri dominic
donald donna dorothy doug douglas duncan dylan eddie edith edward eileen elaine elena eleanor elias elisa elizabeth ella ellen elliot
emil emily emma eric erik erin ethan eugene eva evelyn fatima felix fernando fiona francesca francis frank franz fred frederick gabriel
gareth gary gavin gemma geoffrey george georgia gerald gillian giulia gloria gordon graham greta gustav hannah hans harriet harry hassan
heather heidi helen helena henrik henry hiroshi holger hugo ian ibrahim imran ines ingrid irene isabel isabella isla ivan jacob jake
james jamie jan jane janet janine jason javier jeff jeffrey jenna jennifer jenny jeremy jessica jill jim joan joanna joao joel johan
johannes john johnny jon jonas jonathan jorge jose joseph joshua juan judith julia julian julie jurgen justin kamal karen karl karin
kate katharina katherine kathleen katie katrin keith kelly kenneth kevin kieran kim kirsten klaus kristina kurt lars laura lauren
lawrence leah lena leon leonard leonie leslie lewis liam linda lisa logan lorenzo louis louise luca lucas lucia lucy luis luke lukas
lydia magda maja malcolm manuel marc marco marcus margaret maria marie marina mario marion marta martha martin mary mateusz matt matteo
matthew maureen max megan melanie melissa mia michael michelle miguel mike mohamed mohammed molly monica monika muhammad nadia nancy
naomi natalie natasha nathan neil niamh nicholas nick nicola nicole nigel nikolai nina noah noor nora olga oliver olivia omar oscar
owen pablo pamela patricia patrick paul paula pavel pedro peter petra phil philip philippa pierre piet piotr priya rachel rahul ralph
raj rebecca rhys richard rita rob robert roberto robin roger roland ronald rosa rosie ross rowan rupert ruth ryan sabine sally sam
samantha samir samuel sandra sanjay sara sarah scott sean sebastian shannon sharon sheila simon siobhan sophia sophie stefan stella
stephanie stephen steve steven stuart sue susan susanne suzanne sven svetlana tamara tanya tara teresa terry theo theresa thomas tim
timothy tina tobias todd tom tomas tommy toni tracey tracy trevor tyler ulrich ursula valentina valerie vanessa vera veronica vincent
vladimir walter wanda wendy werner wolfgang xavier yasmin yusuf yuki yvonne zachary zara zoe anneke bogdan dagmar eoin farah gita hamza
ilse jelena kwame laszlo mehmet nadine oksana pawel quentin rania sanne thandi umar viktor wiebke ximena yara zainab
"""
_ALSO_WORDS = """
alma amber angel april art august austin autumn bill brandy brook brooke chance charity charlotte chelsea chip christian clay daisy dale
dawn dean drew earl eve faith fern flora florence forest frank gene ginger glen grace grant guy harmony hazel heath heather holly hope
iris ivy jack jade jasmine jean jewel joy june kent lance laurel leo lily london luna madison mark max may melody miles mercy misty nick
norm olive paris pat pearl penny pepper phoenix poppy ray reed rich rob robin rod rose rosemary ruby rusty sandy savannah scarlet sidney
sierra skip sofia sonny stella sterling sue summer sunny sydney ted terry tiffany victor victoria violet wade ward will willow wren
chelsea kelly kim jan sam alex jamie georgia carmen logan ross scott stuart gordon florian roman sage star
"""
FIRST_NAMES = frozenset(_FIRST.split()) | frozenset(_ALSO_WORDS.split())
"""First names in lower case; what is also an ordinary word or a place stands in ``ALSO_WORDS``."""
ALSO_WORDS = frozenset(_ALSO_WORDS.split())

_NO_SURNAME = """
a about after again agent all also always am amazing an and another any anyone app are as ask asked at available away back bad because been
before bought but buy buyer by call called calling came can cannot card cardigan cheers chat club come coming complaining concerned contact
contacting could currently customer customers day days delivery did disappointed do does done dress dresses edition email employee even every
feeling fine for former friend from frustrated gave get getting gift glad going gold good got grateful had happy has have having he
headphones hello help her here hi him his home hoping how however i if in interested interior is it its jacket jumper just kettle kind
know knit lamp large late leaving line living lives looking lost love made mail many may me medium member message mobile model moved much
my need never new nice no not now number of off oh ok okay old on one only or order ordered ordering orders our out over owner paid parcel
people phone please postcode price really receive received regards regular reply return returning returns said same satisfied saw send sent
set she shirt shoes shop should shopper size skirt small so some somebody someone sorry speaking still student sure sweater team tel thank
thanks that the their them then there these they thinking this those to today told tomorrow too tote trainers tried trying unhappy until up
upset urgently us used user using very vip waiting wanna want wanted was watch we well were what when where which who why will wish with
would write writing wrong yes yesterday yet you your
monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october november december
street road avenue lane drive close court way flat house
"""
NO_SURNAME = frozenset(_NO_SURNAME.split())
"""Words that end a name: nobody's surname, in lower case."""

STREET_KINDS = (
    "street|st|road|rd|avenue|ave|lane|ln|drive|dr|close|court|ct|crescent|cres|way|boulevard|blvd|place|pl|square|sq|terrace|gardens|"
    "grove|mews|row|walk|parkway|pkwy|highway|hwy|quay|hill|green|circle|cir|trail|loop|gate|rise|view"
)
"""What an English street's name ends with."""
STREET_ENDINGS = "stra(?:ß|ss)e|str\\.|weg|allee|gasse|platz|damm|ufer|straat|laan|gracht|plein|kade|dreef|gatan|vägen|gade|vej"
"""What a German, Dutch or Nordic street's name ends with; its number comes after it."""

SURNAMES_ZH = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏窦章苏潘葛范彭郎鲁韦马苗凤方俞任袁柳鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于傅"
    "皮卞齐康伍余元顾孟黄穆萧尹姚邵汪祁毛狄米贝明臧计成戴宋庞熊纪舒屈项祝董梁杜阮蓝闵席季贾江童颜郭梅盛林钟徐邱骆高夏蔡田樊胡凌霍虞万柯管卢莫房解应宗丁邓郁单洪"
    "包诸左石崔吉龚程邢裴陆荣翁荀甄曲封储靳井段焦侯宓全班秋仲伊宫宁仇栾甘厉祖武符刘景詹束龙叶幸司黎薄印白蒲卓蔺屠蒙池乔阴胥苍双闻莘党翟谭贡劳姬申扶堵冉宰"
    "郦雍桑桂牛寿边扈燕冀浦尚农温别庄晏柴瞿阎连习艾鱼容向古易慎戈廖终居衡步都耿满弘匡国文寇广禄阙东欧沃利蔚越师巩聂晁敖融辛阚那简饶空曾关肖岳涂丘代邝游覃车"
)
"""Chinese surnames of one character."""
COMPOUND_SURNAMES_ZH = "欧阳|司马|上官|诸葛|夏侯|皇甫|尉迟|公孙|慕容|长孙|宇文|司徒|令狐|东方|南宫|端木|百里|呼延"
NO_NAME_ZH = (
    "金卡|金牌|白金|黄金|钻石|高级|常客|老师|方便|安全|明天|万一|成功|安心|高兴|满意|祝您|别人|别家|向您|向你|全部|全新|全家|简单|连续|应该|应当|单位|单独|"
    "包裹|包邮|边上|都是|都没|那个|那家|那边|关于|关注|华为|小米|东西|国内|国外|文员|文字|白色|黄色|蓝色|农村|印象|终于|广州|广东|成都|武汉|江苏|江西|常州|温州|宁波|安徽|"
    "解决|解释|利用|能否|管理|计划|计较|元旦|元宵|夏天|秋天|秋季|夏季|时候|常用|房东|宗旨|武术|车主|车里|国庆|高中|高三|高一|石家|万达|古玩|古董|易碎|容易|连帽|明年|平台"
)
"""Two-character beginnings that look like a surname and are none; ``那``, ``都`` and others are words far more often than names."""

PLACES_ZH = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门|"
    "杭州|成都|武汉|西安|青岛|长沙|厦门|昆明|苏州|南京|广州|深圳|宁波|无锡|温州|合肥|福州|泉州|南昌|济南|烟台|郑州|洛阳|沈阳|大连|长春|哈尔滨|石家庄|太原|南宁|桂林|贵阳|兰州|"
    "西宁|银川|乌鲁木齐|海口|三亚|珠海|佛山|东莞|中山|惠州|汕头|常州|徐州|南通|扬州|镇江|绍兴|嘉兴|金华|台州|湖州|芜湖|潍坊|临沂|唐山|保定|邯郸|呼和浩特|包头|拉萨|绵阳|宜昌|襄阳|株洲|"
    "衡阳|岳阳|赣州|九江|漳州|莆田|淄博|威海|开封|新乡|大同|鞍山|大庆|柳州|遵义"
)
"""Provinces and cities: an address that begins with one begins there."""
