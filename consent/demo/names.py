"""Names for made-up people: every written form beside its reading, so that kanji and kana always match.

Surnames carry a weight that follows their rough frequency in Japan; given names belong to the years in which they were
popular. A word with several readings ("中島:ナカジマ/ナカシマ") becomes one ``Word`` per reading. The rare names at the
end are the ones that break careless software: characters outside JIS level 2 or the basic plane, variation selectors,
one letter, five letters, other scripts.
"""

import re
import unicodedata
from itertools import accumulate
from typing import Literal, NamedTuple

Sex = Literal["female", "male"]


class Word(NamedTuple):
    """One name as it is written, its katakana reading (None where there is none), and a spelling in a to z."""

    written: str
    kana: str | None
    latin: str


class Tradition(NamedTuple):
    """How a people writes names. ``born_before`` closes each era of ``given``; ``limits`` are cumulative weights."""

    surnames: tuple[Word, ...]
    limits: tuple[int, ...]
    born_before: tuple[int, ...]
    given: dict[Sex, tuple[tuple[Word, ...], ...]]
    pattern: dict[Sex, str]


class RareName(NamedTuple):
    """A name that must turn up early. None where the part is drawn like any other."""

    tradition: str
    sex: Sex | None
    surname: Word | None
    given: Word | None


ROWS = """
アイウエオ kカキクケコ sサシスセソ tタチツテト nナニヌネノ hハヒフヘホ mマミムメモ rラリルレロ
gガギグゲゴ zザジズゼゾ dダヂヅデド bバビブベボ pパピプペポ
"""
SYLLABLES = {kana: row[:-5] + vowel for row in ROWS.split() for kana, vowel in zip(row[-5:], "aiueo", strict=True)}
SYLLABLES |= {"シ": "shi", "チ": "chi", "ツ": "tsu", "フ": "fu", "ジ": "ji", "ヂ": "ji", "ヅ": "zu"}
SYLLABLES |= {"ヤ": "ya", "ユ": "yu", "ヨ": "yo", "ワ": "wa", "ヲ": "o", "ン": "n"}
SMALL = {"ャ": "a", "ュ": "u", "ョ": "o"}


def _romaji(kana: str) -> str:
    """The reading in Hepburn letters without long vowels, as people type it into a login ID: サトウ is ``sato``."""
    letters = ""
    doubled = False
    for sign in kana:
        if sign == "ッ":
            doubled = True
            continue
        if sign in SMALL:
            letters = letters.removesuffix("i") + ("" if letters.endswith(("shi", "chi", "ji")) else "y") + SMALL[sign]
            continue
        syllable = SYLLABLES[sign]
        letters += syllable[0] + syllable if doubled else syllable
        doubled = False
    # 井上 stays inoue and 松浦 matsuura: there the vowels belong to two words.
    return re.sub("(?<!ts)uu", "u", re.sub("ou(?!e)|oo", "o", letters))


def _plain_letters(name: str) -> str:
    """A Latin name reduced to a to z: ``Lefèvre`` is ``lefevre``, ``O'Neil`` is ``oneil``."""
    return "".join(letter for letter in unicodedata.normalize("NFD", name).lower() if "a" <= letter <= "z")


def _japanese_words(table: str) -> tuple[Word, ...]:
    """``written:kana`` or ``written:kana/kana``, separated by blanks."""
    pairs = (entry.split(":") for entry in table.split())
    return tuple(Word(written, kana, _romaji(kana)) for written, readings in pairs for kana in readings.split("/"))


def _korean_words(table: str, *, hanja: bool) -> tuple[Word, ...]:
    """``hangul:hanja:kana:latin``, separated by blanks."""
    rows = (entry.split(":") for entry in table.split())
    return tuple(Word(chinese if hanja else hangul, kana, latin) for hangul, chinese, kana, latin in rows)


def _latin_words(table: str) -> tuple[Word, ...]:
    """Names in Latin letters, separated by commas; they have no reading."""
    return tuple(Word(name.strip(), None, _plain_letters(name)) for name in table.split(","))


SURNAMES_BY_WEIGHT = {
    1500: """佐藤:サトウ 鈴木:スズキ 高橋:タカハシ 田中:タナカ 伊藤:イトウ 渡辺:ワタナベ 山本:ヤマモト 中村:ナカムラ
        小林:コバヤシ 加藤:カトウ""",
    700: """吉田:ヨシダ 山田:ヤマダ 佐々木:ササキ 山口:ヤマグチ 松本:マツモト 井上:イノウエ 木村:キムラ 林:ハヤシ
        斎藤:サイトウ 清水:シミズ 山崎:ヤマザキ/ヤマサキ 森:モリ 池田:イケダ 橋本:ハシモト 阿部:アベ 石川:イシカワ
        山下:ヤマシタ 中島:ナカジマ/ナカシマ 石井:イシイ 小川:オガワ""",
    400: """前田:マエダ 岡田:オカダ 長谷川:ハセガワ 藤田:フジタ 後藤:ゴトウ 近藤:コンドウ 村上:ムラカミ
        遠藤:エンドウ 青木:アオキ 坂本:サカモト 斉藤:サイトウ 福田:フクダ 太田:オオタ 西村:ニシムラ 藤井:フジイ
        金子:カネコ 岡本:オカモト 三浦:ミウラ 藤原:フジワラ 中野:ナカノ 中川:ナカガワ 原田:ハラダ 松田:マツダ
        竹内:タケウチ 小野:オノ 田村:タムラ 中山:ナカヤマ 和田:ワダ 石田:イシダ 森田:モリタ""",
    250: """上田:ウエダ 原:ハラ 内田:ウチダ 柴田:シバタ 酒井:サカイ 宮崎:ミヤザキ 横山:ヨコヤマ 高木:タカギ
        安藤:アンドウ 宮本:ミヤモト 大野:オオノ 小島:コジマ 谷口:タニグチ 工藤:クドウ 今井:イマイ 高田:タカダ/タカタ
        丸山:マルヤマ 増田:マスダ 杉山:スギヤマ 村田:ムラタ 大塚:オオツカ 新井:アライ 小山:コヤマ/オヤマ 平野:ヒラノ
        藤本:フジモト 河野:コウノ/カワノ 上野:ウエノ 野口:ノグチ 武田:タケダ 松井:マツイ 千葉:チバ 菅原:スガワラ
        岩崎:イワサキ 木下:キノシタ 久保:クボ 佐野:サノ 野村:ノムラ 松尾:マツオ 菊地:キクチ 市川:イチカワ""",
    150: """杉本:スギモト 古川:フルカワ 大西:オオニシ 島田:シマダ 水野:ミズノ 桜井:サクライ 渡部:ワタナベ/ワタベ
        高野:タカノ 山内:ヤマウチ 西田:ニシダ 菊池:キクチ 飯田:イイダ 西川:ニシカワ 小松:コマツ 北村:キタムラ
        安田:ヤスダ 五十嵐:イガラシ 川口:カワグチ 平田:ヒラタ 関:セキ 中田:ナカタ/ナカダ 久保田:クボタ 服部:ハットリ
        東:ヒガシ/アズマ 岩田:イワタ 土屋:ツチヤ 川崎:カワサキ 福島:フクシマ 本田:ホンダ 辻:ツジ 樋口:ヒグチ
        秋山:アキヤマ 田口:タグチ 永井:ナガイ 山中:ヤマナカ 中西:ナカニシ 吉村:ヨシムラ 川上:カワカミ 石原:イシハラ
        大橋:オオハシ 松岡:マツオカ 馬場:ババ 浜田:ハマダ 森本:モリモト 星野:ホシノ 矢野:ヤノ 浅野:アサノ
        大島:オオシマ 小池:コイケ 吉川:ヨシカワ/キッカワ 松下:マツシタ 熊谷:クマガイ/クマガヤ 黒田:クロダ 野田:ノダ
        荒木:アラキ 大久保:オオクボ 内藤:ナイトウ 川村:カワムラ 西山:ニシヤマ 尾崎:オザキ 早川:ハヤカワ 三宅:ミヤケ
        竹田:タケダ 片山:カタヤマ 須藤:スドウ 岩本:イワモト 中井:ナカイ 小田:オダ""",
    90: """広瀬:ヒロセ 成田:ナリタ 松村:マツムラ 児玉:コダマ 大谷:オオタニ/オオヤ 山根:ヤマネ 小野寺:オノデラ
        栗原:クリハラ 平井:ヒライ 萩原:ハギワラ/ハギハラ 堀:ホリ 西:ニシ 宮田:ミヤタ 石橋:イシバシ 桑原:クワバラ
        牧野:マキノ 本間:ホンマ 福井:フクイ 福本:フクモト 関口:セキグチ 渡邊:ワタナベ 渡邉:ワタナベ 白石:シライシ
        三上:ミカミ 上原:ウエハラ 堀内:ホリウチ 天野:アマノ 坂口:サカグチ 小西:コニシ 大森:オオモリ 富田:トミタ
        神田:カンダ 植田:ウエダ 根本:ネモト 望月:モチヅキ 浅井:アサイ 大川:オオカワ 藤川:フジカワ 奥村:オクムラ
        榎本:エノモト 川島:カワシマ 吉岡:ヨシオカ 飯塚:イイヅカ 田辺:タナベ 岡崎:オカザキ 内山:ウチヤマ 鎌田:カマタ
        大石:オオイシ 松原:マツバラ 篠原:シノハラ 黒木:クロキ 中尾:ナカオ 岡:オカ 河合:カワイ 今村:イマムラ
        水谷:ミズタニ 小沢:オザワ 古賀:コガ 入江:イリエ 篠田:シノダ 秋元:アキモト 河村:カワムラ 向井:ムカイ
        日高:ヒダカ 青山:アオヤマ 小泉:コイズミ 川端:カワバタ 豊田:トヨダ/トヨタ 伊東:イトウ 谷:タニ 北川:キタガワ
        高島:タカシマ 八木:ヤギ 村山:ムラヤマ 松浦:マツウラ 窪田:クボタ 長尾:ナガオ 森下:モリシタ 川田:カワダ
        安部:アベ 金田:カネダ 中原:ナカハラ 大坪:オオツボ 徳永:トクナガ 平山:ヒラヤマ 土井:ドイ 梅田:ウメダ
        出口:デグチ 戸田:トダ 新田:ニッタ 服巻:ハラマキ 比嘉:ヒガ 金城:キンジョウ 大城:オオシロ 宮城:ミヤギ
        知念:チネン""",
    25: """髙橋:タカハシ 齋藤:サイトウ 齊藤:サイトウ 山﨑:ヤマザキ/ヤマサキ 宮﨑:ミヤザキ 𠮷田:ヨシダ 濱田:ハマダ
        濵田:ハマダ 冨田:トミタ 眞鍋:マナベ 國分:コクブ 澤田:サワダ 嶋田:シマダ 髙木:タカギ 廣瀬:ヒロセ 邊見:ヘンミ
        北條:ホウジョウ 槇原:マキハラ 日下部:クサカベ 西園寺:サイオンジ 神:ジン 堤:ツツミ 湊:ミナト""",
}

FEMALE_BY_ERA = (
    """和子:カズコ 幸子:サチコ/ユキコ 節子:セツコ 洋子:ヨウコ 弘子:ヒロコ 美智子:ミチコ 京子:キョウコ 悦子:エツコ
    文子:フミコ 久子:ヒサコ 千代子:チヨコ 八重子:ヤエコ 静江:シズエ 芳子:ヨシコ 良子:リョウコ/ヨシコ 光子:ミツコ
    信子:ノブコ 花子:ハナコ 道子:ミチコ トメ:トメ キヨ:キヨ ハル:ハル 富美子:フミコ 君江:キミエ 澄子:スミコ
    敏子:トシコ 春枝:ハルエ 登美子:トミコ 貞子:サダコ 綾子:アヤコ 喜久江:キクエ 房枝:フサエ 多恵:タエ""",
    """由美子:ユミコ 真由美:マユミ 久美子:クミコ 明美:アケミ 直美:ナオミ 裕子:ユウコ/ヒロコ 智子:トモコ 陽子:ヨウコ
    恵子:ケイコ 順子:ジュンコ 美香:ミカ 典子:ノリコ 純子:ジュンコ 裕美:ヒロミ/ユミ 恵美子:エミコ 香織:カオリ
    浩美:ヒロミ 美穂:ミホ 由紀子:ユキコ 和美:カズミ 真理子:マリコ 里美:サトミ ひとみ:ヒトミ 小百合:サユリ 千恵:チエ
    美紀:ミキ 雅子:マサコ 博子:ヒロコ 清美:キヨミ 惠子:ケイコ 眞理:マリ 理恵:リエ 幸恵:ユキエ/サチエ 奈津子:ナツコ
    花子:ハナコ 祥子:ショウコ/サチコ""",
    """愛:アイ 麻衣:マイ 彩:アヤ 舞:マイ 美咲:ミサキ 沙織:サオリ 恵:メグミ 千尋:チヒロ 愛美:マナミ/アイミ 由佳:ユカ
    麻美:アサミ 絵美:エミ 瞳:ヒトミ 早紀:サキ 友美:トモミ 彩香:アヤカ 奈々:ナナ 綾:アヤ 優子:ユウコ 真央:マオ
    梨沙:リサ 遥:ハルカ 茜:アカネ 亜希子:アキコ 佳奈:カナ 成美:ナルミ 未来:ミキ/ミク 加奈子:カナコ 聡美:サトミ
    理沙:リサ 文香:フミカ 亜莉紗:アリサ 桃子:モモコ 智美:トモミ 菜摘:ナツミ 志保:シホ 千夏:チナツ 史織:シオリ
    絵里子:エリコ 香奈:カナ 梓:アズサ 玲奈:レイナ""",
    """陽菜:ヒナ/ハルナ 葵:アオイ 結衣:ユイ 凛:リン 美桜:ミオ 結菜:ユイナ/ユナ さくら:サクラ 莉子:リコ 芽依:メイ
    花音:カノン 心春:コハル 杏:アン 七海:ナナミ 美羽:ミウ 咲良:サクラ 優奈:ユウナ 楓:カエデ 琴音:コトネ 萌:モエ
    柚希:ユズキ 彩花:アヤカ 真白:マシロ 心愛:ココア 明日香:アスカ 紬:ツムギ ひなた:ヒナタ 澪:ミオ 莉央:リオ
    菜月:ナツキ 優花:ユウカ 和奏:ワカナ 穂乃花:ホノカ 一花:イチカ 詩織:シオリ 梨花:リンカ/リカ 琴美:コトミ
    あかり:アカリ 日菜子:ヒナコ 千晴:チハル 百花:モモカ 小雪:コユキ""",
)
MALE_BY_ERA = (
    """茂:シゲル 清:キヨシ 勇:イサム 正:タダシ 実:ミノル 博:ヒロシ 弘:ヒロシ 稔:ミノル 正雄:マサオ 三郎:サブロウ
    一郎:イチロウ 昭:アキラ 武:タケシ 進:ススム 勝:マサル 義雄:ヨシオ 幸雄:ユキオ 信夫:ノブオ 忠:タダシ 昭夫:アキオ
    功:イサオ 善次郎:ゼンジロウ 源太郎:ゲンタロウ 文雄:フミオ 和夫:カズオ 敏夫:トシオ 辰雄:タツオ 常吉:ツネキチ
    喜一:キイチ 孝:タカシ 輝夫:テルオ 邦夫:クニオ 久雄:ヒサオ 宗一郎:ソウイチロウ 平八:ヘイハチ""",
    """浩:ヒロシ 誠:マコト 隆:タカシ 修:オサム 浩一:コウイチ 哲也:テツヤ 健一:ケンイチ 豊:ユタカ 剛:ツヨシ
    直樹:ナオキ 秀樹:ヒデキ 英樹:ヒデキ 浩二:コウジ 裕二:ユウジ 学:マナブ 和彦:カズヒコ 達也:タツヤ 哲:サトシ/テツ
    聡:サトシ 徹:トオル 淳:ジュン/アツシ 伸一:シンイチ 雅彦:マサヒコ 正人:マサト 幸司:コウジ 克彦:カツヒコ
    康弘:ヤスヒロ 太郎:タロウ 良平:リョウヘイ 潤一郎:ジュンイチロウ 恒夫:ツネオ 毅:ツヨシ/タケシ 靖:ヤスシ 敦:アツシ
    光男:ミツオ 義明:ヨシアキ 孝之:タカユキ 信行:ノブユキ 一郎:イチロウ""",
    """大輔:ダイスケ 健太:ケンタ 翔太:ショウタ 拓也:タクヤ 直人:ナオト 亮:リョウ 翼:ツバサ 和也:カズヤ 雄太:ユウタ
    純一:ジュンイチ 智也:トモヤ 洋平:ヨウヘイ 貴之:タカユキ 祐介:ユウスケ 裕太:ユウタ 慎也:シンヤ 恭平:キョウヘイ
    俊介:シュンスケ 圭:ケイ 駿:シュン 拓真:タクマ 優:ユウ/マサル 竜也:タツヤ 達郎:タツロウ 耕平:コウヘイ 悠:ユウ
    健:ケン/タケシ 一樹:カズキ 真一:シンイチ 康平:コウヘイ 雄一郎:ユウイチロウ 隼人:ハヤト 浩平:コウヘイ 啓太:ケイタ
    将太:ショウタ 龍之介:リュウノスケ 晃:アキラ/ヒカル 裕樹:ヒロキ/ユウキ 誠司:セイジ 昌平:ショウヘイ 遼:リョウ""",
    """蓮:レン 湊:ミナト 陽翔:ハルト/ヒナト 大翔:ヒロト/ハルト 悠真:ユウマ 樹:イツキ 颯太:ソウタ 陸:リク 海斗:カイト
    優斗:ユウト 匠:タクミ 航:ワタル/コウ 蒼:アオイ/ソウ 律:リツ 朝陽:アサヒ 新:アラタ 奏太:ソウタ/カナタ 拓海:タクミ
    響:ヒビキ 空:ソラ 大和:ヤマト 悠人:ユウト/ハルト 岳:ガク 虎太郎:コタロウ 琉生:ルイ 碧:アオ/アオイ
    隼:ハヤト/シュン 太陽:タイヨウ 竜之介:リュウノスケ 一颯:イブキ 瑛太:エイタ 怜:レイ/リョウ 楓:カエデ 朔:サク
    晴:ハル 旭:アサヒ 凪:ナギ 誠志郎:セイシロウ 光希:コウキ""",
)
# Born before these years; the last era has no end.
ERAS = (1955, 1975, 1995, 10_000)

KOREAN_SURNAMES = """김:金:キム:kim 이:李:イ:lee 박:朴:パク:park 최:崔:チェ:choi 정:鄭:チョン:jung 강:姜:カン:kang
    조:趙:チョ:cho 윤:尹:ユン:yoon 장:張:チャン:jang 임:林:イム:lim 한:韓:ハン:han 오:吳:オ:oh 서:徐:ソ:seo
    신:申:シン:shin 권:權:クォン:kwon 황:黃:ファン:hwang 안:安:アン:ahn 송:宋:ソン:song 홍:洪:ホン:hong 유:柳:ユ:yoo
    남궁:南宮:ナムグン:namgung 선우:鮮于:ソヌ:sunwoo"""
KOREAN_FEMALE = """서연:瑞姸:ソヨン:seoyeon 민지:旼志:ミンジ:minji 지우:智友:ジウ:jiwoo 수빈:秀彬:スビン:subin
    하은:夏恩:ハウン:haeun 지은:智恩:ジウン:jieun 영희:英姬:ヨンヒ:younghee 혜진:惠珍:ヘジン:hyejin
    은영:恩英:ウニョン:eunyoung 미경:美京:ミギョン:mikyung 수진:秀珍:スジン:soojin 유진:有珍:ユジン:yujin"""
KOREAN_MALE = """민준:民俊:ミンジュン:minjun 서준:瑞俊:ソジュン:seojun 지훈:智勳:ジフン:jihoon
    현우:賢宇:ヒョヌ:hyunwoo 도윤:道允:ドユン:doyun 성민:成民:ソンミン:sungmin 영호:永浩:ヨンホ:youngho
    재현:在賢:ジェヒョン:jaehyun 동현:東賢:ドンヒョン:donghyun 우진:宇鎭:ウジン:woojin 상철:相哲:サンチョル:sangchul
    준:俊:ジュン:jun"""

LATIN_SURNAMES = """Fernandez-Lopez, O'Neil, Smith, Johnson, García, Müller, Lefèvre, D'Angelo, van der Berg, Silva,
    Kowalski, Nakamura-Brown, Ivanova, Andersson, MacDonald, Rossi, Novák, Santos, Øverland, St. Clair"""
LATIN_FEMALE = """Maria, Anne-Marie, Sofía, Emily, Zoë, Ingrid, Katarzyna, Chloé, Lucía, Fiona, Grace, Beatriz"""
LATIN_MALE = """Sean, José, François, Jürgen, Michael, Lars, Piotr, Mateo, Liam, Jean-Paul, Björn, David"""

CHINESE_SURNAMES = "Tan, Lim, Lee, Ng, Wong, Goh, Chua, Chan, Koh, Teo, Ang, Yeo, Tay, Ho, Low, Sim, Chong, Ong"
CHINESE_FEMALE = "Siew Ling, Mei Hui, Li Ting, Hui Min, Xin Yi, Pei Shan, Jia Hui, Bee Leng, Yu Xuan, Ai Ling"
CHINESE_MALE = "Wei Ming, Jun Jie, Kok Wai, Boon Huat, Zhi Hao, Kah Seng, Wei Jie, Chee Keong, Yong Sheng, Ah Kow"
MALAY_FATHERS = "Rahman, Ismail, Abdullah, Hassan, Osman, Yusof, Salleh, Kassim"
MALAY_FEMALE = "Nurul Aisyah, Siti Aminah, Nur Hidayah, Farah, Rohani, Zulaikha"
MALAY_MALE = "Muhammad Irfan, Ahmad Faizal, Hafiz, Khairul, Iskandar, Zulkifli"
TAMIL_FATHERS = "Subramaniam, Rajan, Krishnan, Muthusamy, Pillai, Govindasamy"
TAMIL_FEMALE = "Priya, Kavitha, Lakshmi, Shanthi, Deepa, Meena"
TAMIL_MALE = "Kumar, Suresh, Arun, Ravi, Ganesan, Vijay"

SURNAMES: tuple[tuple[Word, int], ...] = tuple(
    (word, weight) for weight, table in SURNAMES_BY_WEIGHT.items() for word in _japanese_words(table)
)


def _timeless(
    surnames: tuple[Word, ...], female: tuple[Word, ...], male: tuple[Word, ...], pattern: dict[Sex, str]
) -> Tradition:
    """A tradition whose names are all equally frequent and never go out of fashion."""
    given: dict[Sex, tuple[tuple[Word, ...], ...]] = {"female": (female,), "male": (male,)}
    return Tradition(surnames, tuple(range(1, len(surnames) + 1)), (10_000,), given, pattern)


def _alike(pattern: str) -> dict[Sex, str]:
    """Women's and men's names are put together in the same way."""
    return {"female": pattern, "male": pattern}


def _korean(*, hanja: bool) -> Tradition:
    """Korean names in Hangul, or in Chinese characters as older papers have them."""
    surnames, female, male = (
        _korean_words(table, hanja=hanja) for table in (KOREAN_SURNAMES, KOREAN_FEMALE, KOREAN_MALE)
    )
    return _timeless(surnames, female, male, _alike("{surname} {given}"))


TRADITIONS: dict[str, Tradition] = {
    "japanese": Tradition(
        tuple(word for word, _ in SURNAMES),
        tuple(accumulate(weight for _, weight in SURNAMES)),
        ERAS,
        {
            "female": tuple(_japanese_words(table) for table in FEMALE_BY_ERA),
            "male": tuple(_japanese_words(table) for table in MALE_BY_ERA),
        },
        _alike("{surname} {given}"),
    ),
    "hangul": _korean(hanja=False),
    "hanja": _korean(hanja=True),
    "latin": _timeless(
        _latin_words(LATIN_SURNAMES), _latin_words(LATIN_FEMALE), _latin_words(LATIN_MALE), _alike("{given} {surname}")
    ),
    "chinese": _timeless(
        _latin_words(CHINESE_SURNAMES),
        _latin_words(CHINESE_FEMALE),
        _latin_words(CHINESE_MALE),
        _alike("{surname} {given}"),
    ),
    "malay": _timeless(
        _latin_words(MALAY_FATHERS),
        _latin_words(MALAY_FEMALE),
        _latin_words(MALAY_MALE),
        {"female": "{given} binti {surname}", "male": "{given} bin {surname}"},
    ),
    "tamil": _timeless(
        _latin_words(TAMIL_FATHERS),
        _latin_words(TAMIL_FEMALE),
        _latin_words(TAMIL_MALE),
        {"female": "{given} d/o {surname}", "male": "{given} s/o {surname}"},
    ),
}

# The variation selector is written as an escape because an editor does not show it.
RARE_SURNAMES = _japanese_words(
    """髙橋:タカハシ 山﨑:ヤマザキ 渡邉:ワタナベ 渡邊:ワタナベ 𠮷田:ヨシダ 葛\U000e0100城:カツラギ
    辻\U000e0100本:ツジモト 斎藤:サイトウ 齋藤:サイトウ 齊藤:サイトウ 濵田:ハマダ 林:ハヤシ 森:モリ 東:ヒガシ/アズマ
    勘解由小路:カデノコウジ 長宗我部:チョウソカベ 𣘺本:ハシモト 𠮷川:ヨシカワ 栁田:ヤナギダ 德永:トクナガ
    桒原:クワバラ 小鳥遊:タカナシ 四月一日:ワタヌキ 一:ニノマエ 佐々木:ササキ 三ヶ尻:ミカジリ 一ノ瀬:イチノセ
    二階堂:ニカイドウ 舘:タチ"""
)
RARE_FEMALE = _japanese_words("すゑ:スエ みゑ:ミエ 凜:リン 蘭:ラン 眞子:マコ 龜代:カメヨ")
RARE_MALE = _japanese_words(
    "喜左衛門:キザエモン 伊右衛門:イエモン 一:ハジメ 曻:ノボル 彌太郎:ヤタロウ 龍ノ介:リュウノスケ"
)
FOREIGN_NAMES: tuple[tuple[str, Sex, str], ...] = (
    ("latin", "female", "Maria Fernandez-Lopez"),
    ("latin", "male", "Sean O'Neil"),
    ("hangul", "male", "민준 김"),
    ("hanja", "male", "民俊 金"),
)


def _foreign(tradition: str, sex: Sex, name: str) -> RareName:
    """The name found by its given and its family name among those of its tradition."""
    given, surname = name.split(" ")
    names = TRADITIONS[tradition]
    return RareName(
        tradition,
        sex,
        next(word for word in names.surnames if word.written == surname),
        next(word for word in names.given[sex][0] if word.written == given),
    )


RARE_NAMES: tuple[RareName, ...] = (
    *(RareName("japanese", None, word, None) for word in RARE_SURNAMES),
    *(RareName("japanese", "female", None, word) for word in RARE_FEMALE),
    *(RareName("japanese", "male", None, word) for word in RARE_MALE),
    *(_foreign(*name) for name in FOREIGN_NAMES),
)
