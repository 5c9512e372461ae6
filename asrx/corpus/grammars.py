"""What the built-in corpus says: per language, eSpeak's voices and a grammar of short voice commands."""

from dataclasses import dataclass

Grammar = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Language:
    """eSpeak's voices with the accents they speak in, and a grammar that begins at `sentence` and ends in a mark.

    `rates`: the slowest and the fastest speech, in words per minute. `silences`: the shortest and the longest before and after it, in seconds.
    """

    accents: dict[str, str]
    grammar: Grammar
    rates: tuple[int, int] = (150, 185)
    silences: tuple[float, float] = (0.10, 0.35)


_ENGLISH_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_ENGLISH: Grammar = {
    "sentence": (
        "call {digit} {digit} {digit} {digit}.",
        "call {digit} {digit} {digit} {digit} {digit} {digit}.",
        "set the {clock} to {number} {span}.",
        "set the {clock} to {number} {span} please.",
        "turn {switch} the {room} {device}.",
        "please turn {switch} the {room} {device}.",
        "{move} the {room} {opening}.",
        "is the {room} {opening} open?",
        "what is {number} plus {number}?",
        "what's {number} plus {number}?",
        "wake me up at {unit} {tens}.",
        "how warm is the {room}?",
        "play song number {number}.",
    ),
    "unit": _ENGLISH_UNITS,
    "digit": ("zero", *_ENGLISH_UNITS),
    "tens": ("ten", "fifteen", "twenty", "thirty", "forty", "fifty"),
    "number": ("{unit}", "{tens}", "twenty {unit}", "thirty {unit}", "forty {unit}", "fifty {unit}"),
    "clock": ("timer", "alarm"),
    "span": ("minutes", "seconds"),
    "switch": ("on", "off"),
    "room": ("kitchen", "bedroom", "garden", "office"),
    "device": ("light", "radio", "fan"),
    "move": ("open", "close"),
    "opening": ("door", "window"),
}

_ITALIAN_PLURALS = ("due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove")

_ITALIAN: Grammar = {
    "sentence": (
        "{switch} {device}.",
        "{switch} {device} in {room}.",
        "{move} {opening}.",
        "{move} {opening} in {room}.",
        "{state}?",
        "{state} in {room}?",
        "perché {state}?",
        "dov'è {thing}?",
        "{plural} caffè in {room}.",
        "{digit} più {digit}?",
        "chiama {digit} {digit}.",
        "canale {digit}.",
        "che ore sono?",
        "sono le {plural}.",
        "svegliami tra {plural} {span}.",
    ),
    "digit": ("zero", "uno", *_ITALIAN_PLURALS),
    "plural": _ITALIAN_PLURALS,
    "switch": ("accendi", "spegni"),
    "device": ("la luce", "la radio", "l'allarme"),
    "move": ("apri", "chiudi"),
    "opening": ("la porta", "la finestra"),
    "room": ("cucina", "salotto", "giardino"),
    "state": ("è aperta {opening}", "è chiusa {opening}", "è accesa la luce", "è accesa la radio"),
    "thing": ("la radio", "il caffè", "l'acqua", "l'allarme", "il salotto", "la cucina"),
    "span": ("ore", "minuti"),
}

_NEPALI: Grammar = {
    "sentence": (
        "नम्बर {digit} {digit} {digit}।",
        "{number} जोड {number} कति हुन्छ?",
        "{number} मिनेट कुर्नुहोस्।",
        "बत्ती {light}।",
        "{place} बत्ती {light}।",
        "{opening} {move}।",
        "{place} {opening} {move}।",
        "{device} {run}।",
        "{place} {device} {run}।",
        "{place} {fixture} कहाँ छ?",
        "{owner} {belonging} कहाँ छ?",
        "{person} कहाँ हुनुहुन्छ?",
        "{greeting} {person}।",
        "{day} कति तारिख हो?",
        "{day} कुन बार हो?",
    ),
    "digit": ("शून्य", "{number}"),
    "number": ("एक", "दुई", "तीन", "चार", "पाँच", "छ", "सात", "आठ", "नौ", "दस"),
    "light": ("बाल्नुहोस्", "निभाउनुहोस्"),
    "move": ("खोल्नुहोस्", "बन्द गर्नुहोस्"),
    "opening": ("ढोका", "झ्याल"),
    "run": ("चलाउनुहोस्", "बन्द गर्नुहोस्"),
    "device": ("पङ्खा", "रेडियो"),
    "place": ("कोठाको", "भान्साको", "कक्षाको", "संस्थाको"),
    "fixture": ("{opening}", "{device}", "बत्ती"),
    "owner": ("आमाको", "मित्रको", "कक्षाको", "विज्ञानको", "सङ्गीतको"),
    "belonging": ("किताब", "कापी"),
    "person": ("आमा", "बुबा", "दिदी", "मित्र"),
    "greeting": ("नमस्ते", "धन्यवाद", "शुभ रात्रि"),
    "day": ("आज", "भोलि"),
}

LANGUAGES = {
    "en": Language(
        accents={
            "en-us": "United States",
            "en-us-nyc": "New York City",
            "en-gb-x-rp": "Received Pronunciation",
            "en-gb-scotland": "Scotland",
            "en-gb-x-gbclan": "Lancaster",
            "en-gb-x-gbcwmd": "West Midlands",
            "en-029": "Caribbean",
        },
        grammar=_ENGLISH,
    ),
    "it": Language(accents={"it": "Italy"}, grammar=_ITALIAN, rates=(130, 160), silences=(0.2, 0.4)),
    "ne": Language(accents={"ne": "Nepal"}, grammar=_NEPALI, rates=(130, 160), silences=(0.2, 0.4)),
}
