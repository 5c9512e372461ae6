"""A WER of 200 % says that something is wrong, not what: loops, another language or script are told, ordinary errors raise no alarm."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import write_rows

from asrx.hallucination import Explanation, explain, find_loop
from asrx.text import score_text

ITALIAN = """ieri sera siamo andati al cinema con gli amici di mio fratello
non ho ancora capito perché il treno parte sempre in ritardo
la casa di campagna è stata costruita nel secolo scorso
accendi la luce in cucina per favore
vorrei un caffè e un bicchiere d'acqua fresca
il governo ha approvato la nuova legge sulla scuola
domani mattina dobbiamo alzarci presto per prendere l'aereo
mia nonna prepara ogni domenica una torta di mele
questo libro racconta la storia di una famiglia siciliana
spegni la radio e chiudi la porta quando esci
mi dispiace ma oggi non posso venire alla riunione
i bambini giocano in giardino dopo la scuola""".splitlines()
ENGLISH = """yesterday evening we went to the cinema with my brother's friends
I still do not understand why the train always leaves late
the country house was built in the last century
please turn on the light in the kitchen
I would like a coffee and a glass of cold water
the government has approved the new law on schools
tomorrow morning we have to get up early to catch the plane
my grandmother bakes an apple pie every Sunday
this book tells the story of a Sicilian family
turn off the radio and close the door when you leave
I am sorry but today I cannot come to the meeting
the children play in the garden after school""".splitlines()
NEPALI = """आज कति तारिख हो
बत्ती बाल्नुहोस्
ढोका बन्द गर्नुहोस्
मलाई थाहा छैन
तपाईंको नाम के हो
हामी भोलि बिहान सबेरै बजार जान्छौं
उनीहरूले नयाँ घर बनाउन सुरु गरेका छन्
बच्चाहरू विद्यालयबाट फर्केर आँगनमा खेलिरहेका छन्
तिमीलाई कुन गीत मन पर्छ""".splitlines()
ROMANISED = """aaja kati tarikh ho
batti balnuhos
dhoka banda garnuhos
malai thaha chaina
tapaiko naam ke ho
hami bholi bihana saberai bajar janchhau
uniharule naya ghar banauna suru gareka chhan
bachchaharu vidyalaya bata farkera aanganma kheliraheka chhan
timilai kun geet man parchha""".splitlines()
HINDI = """आज मौसम बहुत अच्छा है
बत्ती जला दीजिए
दरवाज़ा बंद कीजिए
मुझे नहीं पता
आपका नाम क्या है
हम कल सुबह जल्दी बाज़ार जाएँगे
उन्होंने नया घर बनाना शुरू कर दिया है
बच्चे स्कूल से लौटकर आँगन में खेल रहे हैं
तुम्हें कौन सा गाना पसंद है""".splitlines()


def said(found: Explanation) -> str:
    return " ".join(found.sentences())


def misheard(sentences: list[str], rate: float, seed: int) -> list[str]:
    """What a recogniser makes of sentences: letters left out, put in and taken for others, some at the cost of a space."""
    draw, letters = random.Random(seed), "aeiounrtlscdmpgvbfh"

    def heard(letter: str) -> str:
        return letter if draw.random() > rate else draw.choice(["", draw.choice(letters), letter + draw.choice(letters), " "])

    return ["".join(map(heard, sentence)) for sentence in sentences]


@pytest.mark.parametrize(("hypothesis", "loop"), [
    ("grazie grazie grazie", "grazie grazie grazie"),
    ("Sottotitoli: grazie, Grazie, grazie. Grazie!", "grazie grazie grazie"),
    ("il treno parte e poi e poi e poi e poi", "e poi e poi e poi"),
    ("che non ho capito bene oggi che non ho capito bene oggi che non ho capito bene oggi che", " ".join(["che non ho capito bene oggi"] * 3)),
    ("मलाई थाहा छैन मलाई थाहा छैन मलाई थाहा छैन", "मलाई थाहा छैन मलाई थाहा छैन मलाई थाहा छैन"),
    ("ご視聴ありがとうご視聴ありがとうご視聴ありがとう", "ご視聴ありがとう" * 3),
    ("ขอบคุณขอบคุณขอบคุณ", "ขอบคุณ" * 3),
    ("grazie grazie", None), ("il treno e poi il treno e poi basta", None), ("", None), ("www", None), ("uno due uno tre uno", None),
])  # fmt: skip
def test_loops_are_found(hypothesis: str, loop: str | None) -> None:
    assert find_loop(score_text(hypothesis)) == loop


@pytest.mark.parametrize(("reference", "hypothesis", "is_loop"), [
    ("tre tre tre", "tre tre tre", False), ("tre tre tre", "tre tre tre tre", False), ("sette tre tre tre due", "sette tre tre tre", False),
    ("uno due uno due uno due", "uno due uno due uno due", False), ("three three", "three three three", False),
    ("tre", "tre tre tre", True), ("tre tre tre", "tre tre tre tre tre", True), ("no no no dai", "no no no dai dai dai dai", True),
])  # fmt: skip
def test_what_was_said_several_times_is_no_loop(reference: str, hypothesis: str, is_loop: bool) -> None:
    assert bool(find_loop(hypothesis, reference)) == is_loop


def test_a_looping_decoder_is_described() -> None:
    hypotheses = [f"{text} {'grazie mille ' * 8}" if index % 3 else text for index, text in enumerate(ITALIAN)]
    found = explain(ITALIAN, hypotheses)
    assert found.wer > 1 and found.insertion_share == 1 and found.repeated_share == pytest.approx(8 / 12)
    assert found.length_ratio == pytest.approx(1 + found.wer)
    assert "Insertions are 100%" in said(found) and "67% of the hypotheses repeat themselves ('grazie mille grazie mille grazie mille')" in said(found)
    assert found.languages is None and found.other_script_share == 0


@pytest.mark.parametrize(("references", "hypotheses", "expected"), [
    (ITALIAN, ENGLISH, ("it", "en")), (ENGLISH, ITALIAN, ("en", "it")), (NEPALI, ENGLISH[:9], ("ne", "en")),
])  # fmt: skip
def test_another_language_is_named(references: list[str], hypotheses: list[str], expected: tuple[str, str]) -> None:
    found = explain(references, [text.upper() + "." for text in hypotheses])
    assert found.languages == expected and f"--language {expected[0]}" in said(found)
    assert found.repeated_share == 0


def test_a_reference_too_short_to_tell_takes_the_language_it_is_given() -> None:
    short, long = ["mele", "pere", "uva"] * 4, ENGLISH
    assert explain(short, long).languages is None
    assert explain(short, long, language="it-IT").languages == ("it", "en")


def test_nepali_in_latin_letters_is_another_script_and_no_other_language() -> None:
    found = explain(NEPALI, ROMANISED, "ne")
    assert found.scripts == ("DEVANAGARI", "LATIN") and found.other_script_share == 1 and found.languages is None
    assert "another script (Latin) than the references (Devanagari)" in said(found)


def test_hindi_and_nepali_are_not_told_apart() -> None:
    found = explain(NEPALI, HINDI, "ne")
    assert found.wer > 0.5 and found.languages is None and found.other_script_share == 0


@pytest.mark.parametrize("seed", range(10))
def test_syllables_of_a_model_that_knows_nothing_yet_are_no_language(seed: int) -> None:
    draw = random.Random(seed)
    syllables = [draw.choice("aeiou") + draw.choice("nrtlsc") for _ in range(30)]
    assert explain(ITALIAN, [" ".join(draw.choices(syllables, k=8)) for _ in ITALIAN]).languages is None


def test_english_names_in_devanagari_text_are_no_other_script() -> None:
    found = explain(["facebook मा हेर", "मेरो नाम राम हो"], ["facebook मा हेर", "मेरो नाम Ram हो"])
    assert found.other_script_share == 0 and not found.sentences()


@pytest.mark.parametrize("sentences", [ITALIAN, ENGLISH])
@pytest.mark.parametrize("rate", [0.03, 0.07, 0.2, 0.4, 0.6, 0.8])
def test_ordinary_errors_are_no_alarm(sentences: list[str], rate: float) -> None:
    for seed in range(5):
        found = explain(sentences, misheard(sentences, rate, seed))
        assert not found.is_off, (found.wer, said(found))
        assert bool(found.sentences()) == (found.wer > 1)


def test_letters_parted_by_spaces_are_told_from_wrong_letters() -> None:
    found = explain(ITALIAN, [" ".join(text[start : start + 2] for start in range(0, len(text), 2)) for text in ITALIAN])
    assert found.wer > 1 and found.cer < 0.4 and "word delimiter" in said(found)


def test_nothing_said_and_nothing_heard() -> None:
    assert not explain([], []).sentences() and not explain(["", ""], ["", ""]).sentences()
    only_noise = explain(["", ""], ["ciao ciao ciao ciao", ""])
    assert (only_noise.wer, only_noise.length_ratio, only_noise.repeated_share) == (None, None, 0.5)
    assert "repeat themselves" in said(only_noise)
    silent = explain(["uno", "due"], ["", "e poi due o tre"])
    assert silent.empty_share == 0.5 and "50% of the hypotheses are empty" in said(silent)


def test_evaluate_says_why_in_the_table_the_run_and_the_scores(asrx: Any, letter_model: Any, held_out: Path, tmp_path: Path) -> None:
    """One word `b` and three recordings of nothing, heard as `a`: one substitution, three insertions."""
    from asrx import tracking

    with held_out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:4]
    table = write_rows(tmp_path / "noise.csv", [{**row, "sentence": "b" if index == 0 else ""} for index, row in enumerate(rows)])
    scores = json.loads(asrx("evaluate", "--json", "--model", letter_model("a"), "--csv", table).out)
    assert (scores["wer"], scores["insertion_share"], scores["length_ratio"], scores["repeated_share"]) == (4, 0.75, 4, 0)
    (sentence,) = scores["oddities"]
    assert "Insertions are 75% of the errors; the model writes 4.0 words" in sentence
    run = tracking.connect().get_run(scores["run_id"])
    assert run.data.metrics["insertion_share"] == 0.75 and run.data.metrics["length_ratio"] == 4
    assert sentence in run.data.tags["mlflow.note.content"]
    assert sentence in asrx("evaluate", "--model", letter_model("a"), "--csv", table).out
    assert json.loads(asrx("evaluate", "--json", "--model", letter_model("a"), "--csv", held_out).out)["oddities"] == []
