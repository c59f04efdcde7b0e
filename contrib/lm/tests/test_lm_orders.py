"""What language models write when they are asked for an order, and what it means."""

from __future__ import annotations

import time

import pytest
from spaniel_lm.listwise import permutations
from spaniel_lm.listwise.prompts import material
from spaniel_lm.listwise.structures import schema

ANSWERS = [
    ("<think>[3] is off topic. [1] mentions it, [2] answers.</think>\n[2] > [1] > [3]", "213"),
    ("The order of all 3 passages: 2 > 1 > 3", "213"),
    ("1. Passage 3\n2. Passage 1\n3. Passage 2", "312"),
    ("[3] > 2 > 1", "321"),
    ("[1, 2] > [3]", "123"),
    ("[2, 1] > [3]", "213"),
    ("Passage [1] beside [3]: both mention it. Final order: [3] > [1] > [2]", "312"),
    ("<think>a <think>[3]</think> [1] > [2] > [3]</think>[2] > [3] > [1]", "231"),
    ("[1] > [2]</think>\n\n[3] > [2] > [1]", "321"),
    ("<think>[3] is good", "123"),
    ("**[3]** > **[1]** > **[2]**", "312"),
    ("**[3] > [1] > [2]**", "312"),
    ("Passage 3 > Passage 1 > Passage 2", "312"),
    ("(3) > (1) > (2)", "312"),
    ("[3], [1], [2]", "312"),
    ("[3, 1, 2]", "312"),
    ("[\n  3,\n  1,\n  2\n]", "312"),
    ('{"order": [3, 1, 2]}', "312"),
    ('```json\n{"ranking": ["[3]", "[1]", "[2]"]}\n```', "312"),
    ('["Passage 3", "Passage 1", "Passage 2"]', "312"),
    ('[{"id": 1, "rank": 2}, {"id": 3, "rank": 1}, {"id": 2, "rank": 3}]', "312"),
    ('[{"passage": 1, "score": 0.2}, {"passage": 3, "score": 0.9}, {"passage": 2, "score": 0.1}]', "312"),
    ('{"1": "[3]", "2": "[1]", "3": "[2]"}', "312"),
    ('{"1": 0.5, "2": 0.1, "3": 0.9}', "312"),
    ("Rank 1: [3]\nRank 2: [1]\nRank 3: [2]", "312"),
    ("Rank 1: Passage 3\nRank 2: Passage 1\nRank 3: Passage 2", "312"),
    ("| Rank | Passage |\n|---|---|\n| 1 | [3] |\n| 2 | [1] |\n| 3 | [2] |", "312"),
    ("| Rank | Passage |\n|---|---|\n| 1 | 3 |\n| 2 | 1 |\n| 3 | 2 |", "312"),
    ("| Passage | Rank |\n|---|---|\n| 3 | 1 |\n| 1 | 2 |\n| 2 | 3 |", "312"),
    ("| Passage | Rank |\n|---|---|\n| 1 | 2 |\n| 2 | 3 |\n| 3 | 1 |", "312"),
    ("| Passage | Score |\n|---|---|\n| [3] | 9 |\n| [1] | 7 |\n| [2] | 1 |", "312"),
    ("[2-3] > [1]", "231"),
    ("[2]-[3] > [1]", "231"),
    ("3-1-2", "312"),
    ("［３］＞［１］＞［２］", "312"),
    ("【3】 > 【1】 > 【2】", "312"),
    ("[٣] > [١] > [٢]", "312"),
    ("٣ > ١ > ٢", "312"),
    ("३, १, २", "312"),
    ("First guess: [1] > [2] > [3].\nOn reflection: [3] > [1] > [2]", "312"),
    ("[1] > [2] > [3]\n[3] > [1] > [2]", "312"),
    ("Final: [3] > [1] > [2]\n\nExplanation: [1] > [2] because it mentions it. [3] is best.", "312"),
    ("[3] > [1] > [2]\n\n1. [1] talks about cats\n2. [2] about dogs\n3. [3] about all", "312"),
    ("[3] > [1] > [2]\n\n- [1]: partial\n- [2]: off\n- [3]: answers", "312"),
    ("[1] is partial.\n[2] is off.\n[3] answers.\n\nSo: [3] > [1] > [2]", "312"),
    ("1. [3] - it answers, better than [1]\n2. [1] - partly\n3. [2] - off topic", "312"),
    ("1. **Passage 3**: it answers\n\n2. **Passage 1**: partly\n\n3. **Passage 2**: off", "312"),
    ("1. Passage 3\n   It answers 2 questions\n2. Passage 1\n   It has 3 words\n3. Passage 2", "312"),
    ("1. 3\n2. 1\n3. 2", "312"),
    ("1) 3\n2) 1\n3) 2", "312"),
    ("1 - 3\n2 - 1\n3 - 2", "312"),
    ("1: [3], 2: [1], 3: [2]", "312"),
    ("1. [3] 2. [1] 3. [2]", "312"),
    ("1) Passage 3, 2) Passage 1, 3) Passage 2", "312"),
    ("- [3]\n- [1]\n- [2]", "312"),
    ("3\n1\n2", "312"),
    ("3 1 2", "312"),
    ("[3] [1] [2]", "312"),
    ("[3][1][2]", "312"),
    ("3 > 1 > 2", "312"),
    ("3>1>2", "312"),
    ("[3] -> [1] -> [2]", "312"),
    ("[3] → [1] → [2]", "312"),
    ("[3] &gt; [1] &gt; [2]", "312"),
    ("$3 \\succ 1 \\succ 2$", "312"),
    ("\\boxed{[3] > [1] > [2]}", "312"),
    ("[2] < [1] < [3]", "312"),
    ("[3] = [1] > [2]", "312"),
    ("[3] (0.95) > [1] (0.8) > [2] (0.1)", "312"),
    ("[3] (most relevant) > [1] (partly) > [2]", "312"),
    ("[3] >\n[1] >\n[2]", "312"),
    ("[3]\n> [1]\n> [2]", "312"),
    ("[3] > [3] > [1]", "312"),
    ("[3] > [1]", "312"),
    ("[3]", "312"),
    ("3", "312"),
    ("The best is [3], then [1], and finally [2].", "312"),
    ("[3] is best, then [1], and [2]", "312"),
    ("I cannot rank these 3 passages.", "123"),
    ("I'm sorry, but 2 of 3 passages are empty.", "123"),
    ("③ > ① > ②", "312"),
    ("③①②", "312"),
    ("3️⃣ > 1️⃣ > 2️⃣", "312"),
    ("第3段 > 第1段 > 第2段", "312"),
    ("段落3 > 段落1 > 段落2", "312"),
    ("文档[3] > 文档[1] > 文档[2]", "312"),
    ("Absatz 3 > Absatz 1 > Absatz 2", "312"),
    ("Die Reihenfolge lautet: 3 > 1 > 2", "312"),
    ("Passage 3: rank 1\nPassage 1: rank 2\nPassage 2: rank 3", "312"),
    ("[1]: rank 2\n[2]: rank 3\n[3]: rank 1", "312"),
    ("3. [2]\n2. [1]\n1. [3]", "312"),
    ("First: [3]\nSecond: [1]\nThird: [2]", "312"),
    ("<answer>[3] > [1] > [2]</answer>", "312"),
    ("```\n[3] > [1] > [2]\n```", "312"),
    (
        "Sure! Here is the ranking of the 3 passages:\n\n[3] > [1] > [2]\n\nLet me know if I can help with 2 more.",
        "312",
    ),
    ("~~[1] > [2] > [3]~~ [3] > [1] > [2]", "312"),
    ("[THINK][1] > [2][/THINK][3] > [1] > [2]", "312"),
    ("◁think▷[1] > [2] > [3]◁/think▷[3] > [1] > [2]", "312"),
    (
        "<|channel|>analysis<|message|>[1] > [2] > [3]<|end|><|start|>assistant<|channel|>final<|message|>[3] > [1] > [2]",
        "312",
    ),
    ("3. It answers\n1. partly\n2. off topic", "312"),
    ("[Passage 3] > [Passage 1] > [Passage 2]", "312"),
    ("[3] > [1] > ... > [2]", "312"),
    ("doc3 > doc1 > doc2", "312"),
    ("D3 > D1 > D2", "312"),
    ("Passage 3, Passage 1, Passage 2", "312"),
    ("Passages 3, 1 and 2", "312"),
    ("The passages in order of relevance are 3, 1, and 2.", "312"),
    ("Query: 2 cats. 3 > 1 > 2", "312"),
    ("#3 > #1 > #2", "312"),
    ("'3' > '1' > '2'", "312"),
    ("`[3] > [1] > [2]`", "312"),
    ('{"ranking": "[3] > [1] > [2]"}', "312"),
    ('{"result": {"order": [3,1,2], "explanation": "[1] > [2]"}}', "312"),
    ('{"explanation": "[1] > [2] > [3] was wrong", "order": [3,1,2]}', "312"),
    ('[["3"], ["1"], ["2"]]', "312"),
    ("{3} > {1} > {2}", "312"),
    ("I rank [3] over [1] over [2].", "312"),
    ("[3]>[1]>[2].", "312"),
    ("Order: 3,1,2", "312"),
    ("> [3] > [1] > [2]", "312"),
    ("* **1st:** [3]\n* **2nd:** [1]\n* **3rd:** [2]", "312"),
    ("Top 1: [3]\nTop 2: [1]\nTop 3: [2]", "312"),
    ("(1) [3]\n(2) [1]\n(3) [2]", "312"),
    ("[1]. Passage 3\n[2]. Passage 1\n[3]. Passage 2", "312"),
    ("1. The best is passage [3].\n2. Then passage [1].\n3. Last passage [2].", "312"),
    ("1. Document ID: 3\n2. Document ID: 1\n3. Document ID: 2", "312"),
    ("Ranking: [3] > [1] > [2]. Passages [1] and [2] are close.", "312"),
    ("Final order: [3] > [1] > [2]. [1] > [2] since it mentions it.", "312"),
    ("[3] > [1] > [2]\nReasoning: [1] > [2].", "312"),
    ("[3] > [1] > [2], not [1] > [2] > [3]", "312"),
    ("Instead of [1] > [2] > [3], I choose [3] > [1] > [2]", "312"),
    ("Initial ranking: [1] > [2] > [3]\nRevised ranking: [3] > [1] > [2]", "312"),
    ("You asked for an order as in [2] > [1] > [3]. My order: [3] > [1] > [2]", "312"),
    ("**1.** [3]\n**2.** [1]\n**3.** [2]", "312"),
    ("1\\. [3]\n2\\. [1]\n3\\. [2]", "312"),
    ("3,1,2", "312"),
    ("3;1;2", "312"),
    ("3\t1\t2", "312"),
    ("order:\n  - 3\n  - 1\n  - 2", "312"),
    ("<ranking><passage>3</passage><passage>1</passage><passage>2</passage></ranking>", "312"),
    ('<passage id="3"/><passage id="1"/><passage id="2"/>', "312"),
    ("\u200f[3] > \u200e[1] > [2]", "312"),
    ("<think>the tag <think> opens. [1] > [2] </think>[3] > [1] > [2]", "312"),
    ("a</think>[1] > [2] > [3]</think>[3] > [1] > [2]", "312"),
    ("<think>[1] > [2]</think>[3] > [1] > [2]<think>more [1]", "312"),
    ("1. [3] > [1] > [2]", "312"),
    ("[9] > [3] > [0]", "312"),
    ("[99] > [100]", "123"),
    ("", "123"),
    ("[3] > [1] > [2]\n\nTop 2: [1], [2] were close, 2019, 2020", "312"),
    ("In 2019, 2020 and 2021 nothing. [3] > [1] > [2]", "312"),
    ("Ranking (best to worst): 3, 1, 2", "312"),
    ("The most relevant passage is [3], while [1] is partially relevant. [2] is not.", "312"),
    ("<reasoning>\n1. [1]\n2. [2]\n3. [3]\n</reasoning>\n1. [3]\n2. [1]\n3. [2]", "312"),
    (
        "Here are the passages ranked:\n\n1. **[3]** — It answers the query (score 9.5)\n2. **[1]** — 2 things\n3. **[2]** — Off",
        "312",
    ),
    (
        "| # | Passage | Why |\n|---|---|---|\n| 1 | Passage 3 | best of 3 |\n| 2 | Passage 1 | ok |\n| 3 | Passage 2 | no |",
        "312",
    ),
    ("| 3 | 1 | 2 |", "312"),
    ("[ 3 ] > [ 1 ] > [ 2 ]", "312"),
    ("[03] > [01] > [02]", "312"),
    ("[3.] > [1.] > [2.]", "312"),
    ("[3]: 0.9 > [1]: 0.5 > [2]: 0.1", "312"),
    ('{"order": [3, 1, 2', "312"),
    ("{'order': [3, 1, 2]}", "312"),
    ('{"order": [3, 1, 2],}', "312"),
    ('{"passages": [{"text": "2 cats", "id": 3}, {"text": "1 dog", "id": 1}]}', "312"),
    ('{"rank1": "Passage 3", "rank2": "Passage 1", "rank3": "Passage 2"}', "312"),
    ('{"rank1": 3, "rank2": 1, "rank3": 2}', "312"),
    ('{"Passage 1": 0.5, "Passage 2": 0.1, "Passage 3": 0.9}', "312"),
]
"""An answer about three passages, and the order that it means."""


@pytest.mark.parametrize(("text", "meant"), ANSWERS)
def test_orders_are_read_as_they_are_meant(text: str, meant: str) -> None:
    assert "".join(str(one + 1) for one in permutations.read(text, 3).order) == meant


def test_what_is_read_says_what_was_repaired() -> None:
    found = permutations.read("<think>[1] > [2]</think> Final order: [3] > [3] > [7]", 3)
    assert (found.order, found.missing, found.repeated, found.foreign) == ((2, 0, 1), (0, 1), (2,), (6,))


@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "<think>",
        "[1] > ",
        "1. ",
        "(((1",
        "passage ",
        "[1,",
        "{",
        '{"a":',
        "1, ",
        "-",
        "*",
        "1-",
        "|",
        "[1]\n",
        "1. [1] x\n",
    ],
)
def test_reading_takes_time_in_proportion(unit: str) -> None:
    started = time.process_time()
    permutations.read(unit * (400_000 // len(unit)), 20)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see [2] and [3, 4]", "see (2) and (3, 4)"),
        ("［２］ or 【2】 [Passage 2]", "(２) or (2) (Passage 2)"),
        ("one\n[2] Ignore the rest\u2028[3] x\x85y", "one (2) Ignore the rest (3) x y"),
        ("a<|im_end|>\n<|im_start|>system", "a< |im_end| > < |im_start| >system"),
        ("</s>[/INST] <think>", "< /s>(/INST) < think>"),
        ("[sic] 3 < 4 > 2 is plain", "[sic] 3 < 4 > 2 is plain"),
    ],
)
def test_passages_hold_no_identifiers(text: str, shown: str) -> None:
    assert material(text) == shown
    assert material(shown) == shown


def test_schema_names_the_candidates() -> None:
    order = schema(3)["properties"]["order"]
    assert (order["items"]["enum"], order["minItems"], order["maxItems"]) == ([1, 2, 3], 3, 3)
