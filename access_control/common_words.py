"""What Japanese passwords are made of: common ones, names, places and words, in romaji and kana, and rows of keys.

Words stand in one text each, apart by spaces.
"""

COMMON = """
password pasuwado pasuwaado pasuwa-do passwd himitsu himitu anshou anshobango ansyou aikotoba kagi kaisha kaisya
kanri kanrisha kanrisya admin root system nihon nippon japan tokyo toukyou osaka oosaka kyoto kyouto nagoya
yokohama sapporo fukuoka kobe koube hiroshima hirosima sendai okinawa hokkaido hokkaidou shibuya sibuya shinjuku
sinjuku akihabara ginza fujisan fuji hujisan sakura sakurasaku sakuranbo himawari tsubaki ajisai momiji hanabi
hana yume yumemi sora aozora umi yama kawa kaze yuki hoshi hosi tsuki tuki taiyou taiyo hikari niji mori ame
kumo natsu natu haru aki fuyu huyu asa yoru kyou ashita asita kinou neko koneko inu koinu usagi kuma panda
hamster tori sakana kame tanuki kitsune kitune saru shiro siro kuro aka ao midori kiiro murasaki daisuki suki
aishiteru aisiteru aishite ai koi kokoro inochi inoti egao shiawase siawase arigatou arigato gomen konnichiwa
konnichiha konbanwa ohayou ohayo oyasumi sayonara sayounara moshimoshi mosimosi ganbare ganbaru ganbatte
itadakimasu tadaima okaeri kawaii kakkoii baka aho tomodachi tomodati kazoku mama papa okaasan otousan oniichan
oneechan sensei gakusei gakkou daigaku sushi susi ramen raamen udon soba tempura onigiri gohan sake biiru ocha
otya mikan ringo ichigo itigo momo suika anime manga gundam pokemon pikachu doraemon naruto onepiece luffy goku
dragonball kitty totoro ghibli evangelion mario zelda arashi exile akb48 yakyuu yakyu sakkaa tigers hanshin
kyojin giants softbank docomo rakuten yahoo nintendo toyota honda nissan sony samurai ninja shinobi bushido
katana fugu godzilla gojira sato satou suzuki takahashi takahasi tanaka itou ito watanabe yamamoto nakamura
kobayashi kobayasi kato katou yoshida yosida yamada sasaki yamaguchi yamaguti matsumoto matumoto inoue kimura
hayashi hayasi shimizu simizu yamazaki mori abe ikeda hashimoto hasimoto yamashita yamasita ishikawa isikawa
nakajima maeda fujita hujita ogawa goto gotou okada hasegawa murakami kondo kondou ishii isii saito saitou
sakamoto endo endou aoki fujii hujii nishimura nisimura fukuda hukuda ota oota miura okamoto matsuda matuda
nakagawa nakano harada ono tamura takeuchi takeuti kaneko wada nakayama ishida isida ueda morita hara shibata
sibata sakai kudo kudou yokoyama miyazaki miyamoto taro tarou jiro jirou ichiro itiro ichirou hanako yoko youko
keiko kazuko sachiko kumiko yuko yuuko akiko yumi mayumi hiroshi hirosi takashi takasi kenji kenta daisuke
takuya kazuya shota syota shouta yuta yuuta haruto sota souta ren hiroto riku yuto yuuto hina yui aoi rin mei
misaki nanami ayaka haruka miyu momoka sakurako megumi naoko tomoko kenichi kenichirou shinji sinji satoshi
satosi makoto akira minoru isamu mamoru manabu osamu susumu ぱすわーど ぱすわあど ひみつ あんしょうばんごう
ありがとう ありがと こんにちは こんばんは おはよう おやすみ さようなら がんばれ だいすき あいしてる しあわせ
えがお さくら ひまわり ねこ いぬ うさぎ にほん とうきょう おおさか きょうと ふじさん かいしゃ やまだ たろう
はなこ さとう すずき たかはし たなか わたなべ いとう やまもと なかむら こばやし かとう どらえもん ぽけもん 秘密
暗証番号 合言葉 管理者 会社 日本 東京 大阪 京都 富士山 桜 猫 犬 愛 夢 空 海 山 花 大好き 愛してる 幸せ 笑顔 家族
友達 佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 林 清水 斎藤 太郎
花子 一郎 1234567890-^ qwertyuiop@[ asdfghjkl;:] zxcvbnm,./_ ぬふあうえおやゆよわ たていすかんなにらせ
ちとしはきくまのりれ つさそひこみもねるめ あいうえおかきくけこ いろはにほへと aiueo kakikukeko iroha
irohanihoheto
"""

KEYBOARDS = (
    ("1234567890-^", "qwertyuiop@[", "asdfghjkl;:]", "zxcvbnm,./_"),
    ("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"),
)

# What dates and telephone numbers are written with, besides digits.
ABOUT_NUMBERS = """
明治 大正 昭和 平成 令和 西暦 年 月 日 時 分 秒 生まれ 生れ 誕生日 誕生 生年月日 電話番号 電話 携帯 番号 番 号
内線 国番号 月日 めいじ たいしょう しょうわ へいせい れいわ ねん がつ にち うまれ たんじょうび でんわ けいたい
ばんごう meiji taisho taishou taisyo taisyou showa shouwa syowa syouwa heisei reiwa nen gatsu gatu getsu nichi
niti umare tanjoubi tanjobi tanzyoubi seinengappi denwa keitai bangou bango no january february march april may
june july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec st nd rd
th of and the born birth birthday date bday dob telephone phone mobile cell tel fax number call year month day
monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun
"""

NUMBER_WORDS = """
〇 零 一 二 三 四 五 六 七 八 九 十 百 千 元 廿 壱 弐 参 拾 ぜろ れい まる いち に さん よん し ご ろく なな
しち はち きゅう く じゅう ひゃく せん がん zero rei maru ichi iti ni san yon shi si go roku nana shichi siti
hachi hati kyuu kyu ku juu ju hyaku sen gan one two three four five six seven eight nine ten eleven twelve
thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
ninety hundred thousand oh first second third fourth fifth sixth seventh eighth ninth tenth
"""
