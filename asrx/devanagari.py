"""Numbers in Nepali and Hindi words. The words up to 99 follow no rule, so they are listed; spellings are the commonest of those in use."""

import unicodedata
from dataclasses import dataclass

LARGEST = 10**13 - 1  # ninety-nine kharab and all below


@dataclass(frozen=True)
class Counting:
    """The words of one language: 0 to 99, and the powers of ten that have a name."""

    below_hundred: tuple[str, ...]
    hundred: str
    powers: tuple[tuple[int, str], ...]  # falling

    def cardinal(self, number: int) -> str:
        """`number` (0 to LARGEST) in words.

        >>> NEPALI.cardinal(123456)
        'एक लाख तेइस हजार चार सय छपन्न'
        """
        words = []
        for power, name in (*self.powers, (100, self.hundred)):
            count, number = divmod(number, power)
            words += [self.below_hundred[count], name] if count else []
        return " ".join(words + ([self.below_hundred[number]] if number or not words else []))

    def year(self, number: int) -> str:
        """A number from 1100 to 1999 as years are read: in hundreds.

        >>> HINDI.year(1984)
        'उन्नीस सौ चौरासी'
        """
        hundreds, rest = divmod(number, 100)
        return " ".join([self.below_hundred[hundreds], self.hundred, *([self.below_hundred[rest]] if rest else [])])


def _words(text: str) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", text).split())


NEPALI = Counting(
    _words("""
    शून्य एक दुई तीन चार पाँच छ सात आठ नौ दस एघार बाह्र तेह्र चौध पन्ध्र सोह्र सत्र अठार उन्नाइस
    बीस एक्काइस बाइस तेइस चौबीस पच्चीस छब्बीस सत्ताइस अट्ठाइस उनन्तीस तीस एकतीस बत्तीस तेत्तीस चौँतीस पैँतीस छत्तीस सैँतीस अठतीस उनन्चालीस
    चालीस एकचालीस बयालीस त्रिचालीस चवालीस पैँतालीस छयालीस सतचालीस अठचालीस उनन्चास पचास एकाउन्न बाउन्न त्रिपन्न चवन्न पचपन्न छपन्न सन्ताउन्न अन्ठाउन्न उनन्साठी
    साठी एकसट्ठी बयसट्ठी त्रिसट्ठी चौसट्ठी पैँसट्ठी छयसट्ठी सतसट्ठी अठसट्ठी उनन्सत्तरी सत्तरी एकहत्तर बहत्तर त्रिहत्तर चौहत्तर पचहत्तर छयहत्तर सतहत्तर अठहत्तर उनासी
    असी एकासी बयासी त्रियासी चौरासी पचासी छयासी सतासी अठासी उनान्नब्बे नब्बे एकान्नब्बे बयान्नब्बे त्रियान्नब्बे चौरान्नब्बे पन्चान्नब्बे छयान्नब्बे सन्तान्नब्बे अन्ठान्नब्बे उनान्सय
    """),
    "सय",
    ((10**11, "खर्ब"), (10**9, "अर्ब"), (10**7, "करोड"), (10**5, "लाख"), (10**3, "हजार")),
)

HINDI = Counting(
    _words("""
    शून्य एक दो तीन चार पाँच छह सात आठ नौ दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस
    बीस इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस
    चालीस इकतालीस बयालीस तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ
    साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उन्यासी
    अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे
    """),
    *_words("सौ"),
    tuple(zip((10**11, 10**9, 10**7, 10**5, 10**3), _words("खरब अरब करोड़ लाख हज़ार"))),
)
