"""The words by which dates, amounts and names are recognised, by language.

What every language has (months, weekdays, units, currencies, millions) comes from CLDR, the locale data of the Unicode
consortium, in the version that the Babel package carries. What CLDR does not say stands in the tables below; they are the
place to add a language.
"""

from __future__ import annotations

from functools import cache, lru_cache

LOCALES = "en de fr es it pt nl pl ru uk cs sk sv da nb fi hu ro el tr ar hi id bg hr".split()  # months are read in all
UNIT_LOCALES = "en de fr es it pt nl pl ru uk zh ja".split()  # and units, currencies and millions in these
NOUN_FIRST = frozenset("fr es it pt".split())  # "francs suisses"; elsewhere the noun is last: "Schweizer Franken"
CASES_OF_MONTHS = (  # "in October", which CLDR lacks
    "январе феврале марте апреле мае июне июле августе сентябре октябре ноябре декабре січні лютому березні квітні травні червні липні "
    "серпні вересні жовтні листопаді грудні styczniu lutym marcu kwietniu maju czerwcu lipcu sierpniu wrześniu październiku listopadzie "
    "grudniu lednu únoru březnu dubnu květnu červnu červenci srpnu říjnu listopadu prosinci"
).split()
LONE_MONTHS = ("en", "de")  # written with a capital, so that a month alone is a date: "in October"

# The words that a sentence begins with although they are no names, and that tell the languages apart.
FUNCTION_WORDS = frozenset(
    "a an the of in on at to for and or but by with from as is was were are be been being has have had do does did that which who whom "
    "whose what when where why how many much it its this these those they them their there he she his her him we our you your i not no "
    "than more most so then also only any all into up out over about after before since until during between per will would can could".split()
)
OPENING_WORDS = {
    "en": FUNCTION_WORDS | frozenset(
        "if although though because while whereas once both each every either neither some several other others another such same few "
        "one two three four five six seven eight nine ten first second third next last further furthermore moreover however therefore "
        "thus hence instead meanwhile today now here later early under within without among along through throughout despite unlike "
        "like upon across against around near above below behind beyond according following although additionally finally eventually "
        "initially originally currently recently subsequently consequently similarly overall generally usually often sometimes "
        "always never again even still yet just perhaps nevertheless nonetheless otherwise besides unless whether whenever wherever "
        "my me us she's it's i'm i've i'll i'd should must may might shall let please yes well oh".split()
    ),
    "de": frozenset(
        "der die das den dem des ein eine einen einem einer eines kein keine keinen und oder aber denn doch sondern in im an am auf aus bei "
        "beim mit nach seit von vom zu zum zur über unter vor hinter neben zwischen durch für gegen ohne um bis wegen während trotz statt "
        "ich du er sie es wir ihr man mich mir dich sich uns sein seine seiner seinen seinem ihre ihrer ihren ihrem unser mein dieser "
        "diese dieses diesen diesem jene jener jenes jeder jede jedes alle allen viele vielen einige einigen manche mehrere beide andere "
        "anderen wer was wie wo wann warum welche welcher als wenn weil dass ob obwohl damit da so nur noch schon auch nicht sehr dort hier "
        "dann danach daher deshalb dabei dadurch dafür dagegen jedoch heute gestern später zuerst zunächst schließlich außerdem insgesamt "
        "laut gemäß etwa rund ist sind war waren wird wurde wurden werden hat haben hatte kann können zwei drei vier fünf ab je ins ans".split()
    ),
    "fr": frozenset(
        "le la les l un une des du de d au aux et ou mais donc car ni à dans en sur sous par pour avec sans vers chez entre depuis pendant "
        "avant après contre je tu il elle on nous vous ils elles ce cet cette ces c son sa ses leur leurs mon ma mes notre votre qui que "
        "quoi dont où quand comme si lorsque puisque ainsi alors puis aussi ensuite enfin cependant toutefois selon malgré plusieurs "
        "certains chaque tout tous toute toutes autre autres est était sont étaient fut a ont avait ne pas plus très deux trois".split()
    ),
    "es": frozenset(
        "el la los las lo un una unos unas de del al y e o u pero sino ni a ante con contra desde durante en entre hacia hasta para por "
        "según sin sobre tras yo tú él ella ello nosotros ellos ellas se su sus mi mis tu este esta estos estas ese esa esos esas aquel "
        "aquella que quien cual cuando donde como si porque aunque mientras así entonces luego después antes también además sin embargo "
        "muchos muchas algunos algunas otros otras otro otra cada todo todos toda todas es era son eran fue fueron ha han había no más muy dos tres".split()
    ),
    "it": frozenset(
        "il lo la i gli le un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal dalla in nel nella nei nelle con "
        "su sul sulla per tra fra e o ma se che chi cui come quando dove perché mentre anche io tu lui lei noi voi loro questo questa questi "
        "queste quello quella suo sua suoi sue è era sono erano fu ha hanno non più molto dopo prima così tutti ogni altri due tre".split()
    ),
    "pt": frozenset(
        "o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela para com sem sobre entre até desde após e ou mas se que "
        "quem qual quando onde como porque embora enquanto eu tu ele ela nós eles elas este esta estes estas esse essa isso aquele seu sua "
        "seus suas é era são eram foi foram tem há não mais muito também assim depois antes todos cada outro outros dois três".split()
    ),
    "nl": frozenset(
        "de het een en of maar want dus in op aan bij met naar van voor door over onder uit tot om te ik jij hij zij ze wij we jullie dit dat "
        "deze die er hier daar wie wat waar wanneer hoe als omdat terwijl ook nog niet geen is was zijn waren werd wordt heeft had na toen".split()
    ),
    "pl": frozenset(
        "i a w we z ze na do od za po przy przez dla o u pod nad przed między oraz lub ale lecz że to ten ta te tego tej on ona ono oni one go "
        "jego jej ich się jest są był była było były nie tak jak gdy kiedy gdzie kto co który która które już też także jednak dlatego".split()
    ),
    "ru": frozenset(
        "и а но или в во на с со к ко у о об от до из за по под над при про для без через между перед после около среди он она оно они его "
        "её ее их я ты мы вы мой наш ваш свой это этот эта эти этого этой тот та те того что кто как когда где куда если хотя чтобы так "
        "также тоже потом затем однако поэтому потому ещё еще уже не ни был была было были есть все всё каждый каждая многие некоторые "
        "другие другой один одна два три сегодня теперь там здесь согласно кроме несмотря вскоре позже сначала".split()
    ),
}  # fmt: skip
REFERRING_WORDS = {  # with which a sentence begins that speaks of what the one before has named
    "en": ("it", "its", "he", "his", "she", "her", "they", "their"), "de": ("er", "sie", "sein", "seine", "ihr", "ihre"),
    "fr": ("il", "elle", "ils", "elles"), "es": ("él", "ella", "ellos", "ellas"), "pt": ("ele", "ela", "eles", "elas"),
    "ru": ("он", "она", "оно", "они", "его", "её", "ее", "их"), "pl": ("on", "ona", "ono", "oni", "jego", "jej", "ich"),
    "zh": ("它", "他", "她", "其"), "ja": ("それ", "彼", "彼女"), "ko": ("그는", "그녀는", "그것은", "그들은"),
}  # fmt: skip
JOINING_WORDS = {  # with which a question begins that goes on from another one
    "en": ("and", "but"), "de": ("und", "aber"), "fr": ("et", "mais"), "es": ("y", "pero"), "it": ("e", "ma"), "pt": ("e", "mas"),
    "nl": ("en", "maar"), "pl": ("a", "i", "ale"), "ru": ("и", "а", "но"), "zh": ("那么", "而且", "但是"), "ja": ("では", "そして", "でも"),
    "ko": ("그리고", "그럼", "그러면", "하지만"),
}  # fmt: skip
YES_AND_NO = {  # the words that answer a question of yes or no, before a comma or a full stop
    "en": ("yes", "no"), "de": ("ja", "nein"), "fr": ("oui", "non", "si"), "es": ("sí", "si", "no"), "it": ("sì", "no"),
    "pt": ("sim", "não"), "nl": ("ja", "nee"), "pl": ("tak", "nie"), "ru": ("да", "нет"), "uk": ("так", "ні"),
    "ja": ("はい", "いいえ"), "ko": ("네", "예", "아니요"), "sv": ("ja", "nej"), "cs": ("ano", "ne"), "tr": ("evet",),
    "zh": (
        *("是", "对", "可以", "能", "会", "需要", "必须", "允许", "有", "应该", "要", "需", "可", "应", "是的", "否", "不", "没", "无需"),
        *("不是", "不可以", "不能", "不会", "不需要", "不必", "不允许", "没有", "不用", "不行", "禁止"),
    ),
}  # fmt: skip
NEVER_A_UNIT = (  # what may follow a number and ends in -s, but is no unit
    "was is as has does his this its us thus perhaps always across towards besides afterwards sometimes plus minus versus unless whereas "
    "les des ses mes nos vos dans sans vers très pas puis après alors mais las los sus más tras das dos bis als es aus uns nas nos pelos pelas "
    "comes goes makes takes gives becomes remains includes contains shows says means sees uses needs covers begins starts ends".split()
)

# What joins a day to a range or to its month, and a weekday to its day.
DATE_RANGE = "[-–/]| ?[-–] ?| to | and | or | through | bis | und | oder | au | et | al | y | a | до | по | и | - "
DATE_LINKS = "of|de|del|di|d['’]"
WEEKDAY_LINKS = "the|den|dem|der|le|il"
ERAS = (
    r"BCE?|B\.C\.(?:E\.)?|CE|C\.E\.|AD|A\.D\.|v\. ?Chr\.|n\. ?Chr\.|av\. ?J\.-C\.|apr\. ?J\.-C\.|a\. ?C\.|d\. ?C\."
    r"|до н\. ?э\.|н\. ?э\.|p\.n\.e\.|n\.e\."
)
CENTURIES = (  # in any case and number
    r"centur(?:y|ies)|Jahrhunderts?|Jh\.|siècles?|siglos?|secol[oi]|séculos?|eeuw|век(?:а|е|ов|у|ом)?|вв?\.|wieku?|st\."
)
# What follows a year ("1990 года", "1990er Jahre"), and what stands before one, so that no unit comes after it.
YEAR_WORDS = r"год(?:а|у|ом|ы|ов|ах)?|гг?\.|рок[уі]|roku|r\.|Jahre[ns]?"
YEAR_BEFORE = r"in|since|during|until|year|im|jahre?|seit|en|año|depuis|année|nel|em|sinds|rok|w|в|с|к"
MINUTES = r"a\.m\.|p\.m\.|am|pm|AM|PM|Uhr|uur|hrs|ч\.|h"

# Parts of names: what stands between capitals, titles with a stop, words after which a number is part of the name.
PARTICLES = (
    r"of the|of|de la|de las|de los|de l['’]|del|della|dei|degli|delle|di|de|d['’]|da|du|van der|van den|van de|van|von der|von dem"
    r"|von und zu|von|ter|bin|ibn|ben|abu"
)
TITLES = "Dr|Drs|Mr|Mrs|Ms|Prof|St|Ste|Sgt|Capt|Gen|Lt|Col|Maj|Rev|Hon|Mt|Ft|Hr|Fr|Sr|Sra|Srta|Dra|Sig|Dott|Mme|Mlle|Mgr|Dipl|Ing|Ph|No|Nr"
NUMBERED = (  # a number after one of these belongs to the name
    "Interstate|Route|Highway|Level|Apollo|Boeing|Airbus|Windows|Android|Formula|Formel|Channel|Type|Typ|Model|Modell|Room|Raum|Gate|Platform"
    "|Gleis|Chapter|Kapitel|Volume|Band|Figure|Abbildung|Table|Tabelle|Zone|Block|Bus|Linie|Line|Version|Phase|Chapitre|Capítulo|Глава|Таблица"
)
STREETS = "Street|St|Road|Rd|Lane|Avenue|Ave|Drive|Square|Boulevard|Blvd|Place|Court|Terrace|Way"
STREET_ENDINGS = "straße|strasse|str|weg|gasse|platz|allee|ufer|damm|ring"
# What a provision of a law, a contract or a standard is called, and how its parts are.
PROVISIONS = (
    r"Articles?|Arts?\.|Artikeln?|Art\.|article|artículos?|articol[oi]|artigos?|Sections?|Sec\.|section|Clauses?|clause|Rules?|Paragraphs?"
    r"|№|paragraph|Absatz|Abs\.|[Сс]тать[яиеюёй]+|[Сс]т\.|[Пп]ункт[аеу]?|пп?\."
)
PROVISION_PARTS = r"Abs\.|Absatz|Satz|S\.|Nr\.|No\.|lit\.|Buchst\.|para\.|al\.|ч\.|п\."

METRIC = (  # written after a number, with or without a space
    "nm µm mm cm dm m km m² km² cm² m³ km³ ha mg g kg t ml cl l hl Wh kWh MWh GWh TWh W kW MW GW kV mA mAh Hz kHz MHz GHz kB KB MB GB TB PB "
    "Mbit Gbit °C °F ° °N °S °E °W Pa hPa kPa bar dB km/h mph m/s rpm ppm dpi px min sec ms ft lb lbs oz km2 m2 cm2 m3 km3 kbit/s Mbit/s Gbit/s kB/s MB/s g/cm³ kg/m³ km/s мм см м км км² м² м³ га г кг т км/ч кВт МВт ГГц °С"
).split()
UNITS_OF_THREE = frozenset("Won Yen yen Tag day ans lux bit mol ton".split())  # others, such as "won", are words too
CURRENCY_SIGNS = "$€£¥₹₽₩₴₺₪฿₫"
CURRENCY_SHORT = r"zł|Kč|kr|руб|грн|Fr|Ft|lei"
MILLIONS_SHORT = "Mio Mrd Tsd Mill mln mld млн млрд тыс трлн bn mn mio tn".split()
# After a number in Chinese or Japanese; CLDR's units come on top. Longer ones first.
CJK_UNITS = (
    "多个|余个|号公路|号线|个百分点|平方公里|平方千米|平方英里|平方米|立方米|个月|个星期|个世纪|个小时|小时|分钟|世纪|年代|百分点|美元|欧元|英镑|日元|人民币|克朗|卢布|公里|千米|厘米|毫米|英里"
    "|英尺|英寸|公斤|千克|公顷|英亩|公吨|海里|摄氏度|华氏度|加仑|法郎|马克|港元|[元人名个位件座岁天次米吨年月日号点分秒届场支队家所条种项章页卷集套张本部辆架艘层级倍度周代户股票角块期轮步间克升码磅尺円歳回冊階本目対%％]"
)
CJK_ERAS = "公元前|西元前|公元|西元|前|昭和|平成|令和|大正|明治"
CJK_DAY_PARTS = "上午|下午|晚上|凌晨|中午|早上|傍晚|午前|午後"


def _locale_data(code: str):
    from babel import Locale

    return Locale.parse(code)


def _words(data) -> set[str]:
    """The words of a part of a locale, which is nested by width and by number."""
    if isinstance(data, str):
        return {data}
    return {word for value in data.values() for word in _words(value)}


@cache
def months() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The names of the months: whole, short and without the stop that may follow, and those that are a date on their own."""
    whole, short, alone = set(CASES_OF_MONTHS), {"Sept"}, set()
    for code in LOCALES:
        data = _locale_data(code).months
        for form in ("format", "stand-alone"):
            names = {name for name in data[form]["wide"].values() if not any(map(str.isdigit, name))}
            whole |= names | {name.capitalize() for name in names}
            alone |= names if code in LONE_MONTHS else set()
            stopped = {name for name in data[form]["abbreviated"].values() if name.endswith(".") or code in LONE_MONTHS}
            short |= {name.rstrip(".") for name in stopped if len(name) > 2 and not any(map(str.isdigit, name))}
    return frozenset(whole), frozenset(short - whole), frozenset(alone)


@cache
def weekdays() -> frozenset[str]:
    names = {name for code in LOCALES for name in _words(dict(_locale_data(code).days["format"]["wide"]))}
    return frozenset(names | {name.capitalize() for name in names})


@cache
def units() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The words after a number: powers of ten ("million"), units and currencies, and codes of currencies ("CHF")."""
    powers, after, codes = set(MILLIONS_SHORT), set(METRIC), set()
    for code in UNIT_LOCALES:
        data = _locale_data(code)._data
        for by_size in data["compact_decimal_formats"]["long"].values():
            powers |= {_word_of(pattern.pattern, "0") for pattern in by_size.values()}
        for widths in data["unit_patterns"].values():
            patterns = {key: text for key, text in dict(widths.get("long", {}).items()).items() if key != "per"}
            after |= {_word_of(text, "{0}") for text in patterns.values() if isinstance(text, str)}
        for currency, forms in data["currency_names_plural"].items():
            if currency[0] == "X":  # gold, silver and what is no country's
                continue
            for name in dict(forms.items()).values():
                parts = name.split()
                after.add(parts[0] if code in NOUN_FIRST else parts[-1])
        codes |= {name for name in data["currency_symbols"] if len(name) == 3}
    english_words = OPENING_WORDS["en"] | frozenset(NEVER_A_UNIT)
    keep = {word for word in after if word[:1].isalpha() and word.lower() not in english_words}
    keep = {word for word in keep if len(word) > 3 or not word.isascii() or word in UNITS_OF_THREE}
    return frozenset(powers - {""} | {"hundred", "hundreds"}), frozenset(keep | set(METRIC)), frozenset(codes)


def _word_of(pattern: str, number: str) -> str:
    """What stands after the number in a pattern of CLDR: "00 million" gives "million"."""
    return " ".join(pattern.rpartition(number)[2].split())


@lru_cache(maxsize=64)
def language_of(text: str) -> str:
    """The language of OPENING_WORDS that most words of a text are of; English if none is more frequent."""
    tokens = [token.strip('.,;:!?«»„“"()') for token in text.lower().replace("’", "'").split()]
    counts = {code: sum(token in known for token in tokens) for code, known in OPENING_WORDS.items()}
    return max(counts, key=lambda code: (counts[code], code == "en"))
