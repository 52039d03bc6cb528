"""Every prompt of the collection. Examples come first and the item last, so that a batch shares all but its end."""

from __future__ import annotations

Conversation = list[dict[str, str]]

THEME = """{text}

In one short sentence: what is this text about?"""

FACTS = """Subject: {subject}
{context}Sentence: {quote}
State each fact of the sentence in a short sentence of its own. Write names instead of he, she, it or they."""
FACTS_EXAMPLES = [
    (
        FACTS.format(
            subject="Marlow Ferries",
            context="",
            quote="The company, which is led by Ann Pellow, bought a shipyard in Corrin for 4 million dollars on 3 May.",
        ),
        '["Marlow Ferries is led by Ann Pellow.", "Marlow Ferries bought a shipyard in Corrin for 4 million dollars on 3 May."]',
    ),
    (
        FACTS.format(
            subject="Ida Holm", context="", quote="In 1931 she moved to Oslo, where she met the poet Nils Berg."
        ),
        '["In 1931 Ida Holm moved to Oslo.", "Ida Holm met the poet Nils Berg in Oslo."]',
    ),
    (
        FACTS.format(
            subject="Nelby School", context="", quote="Its oldest building has 14 rooms and is used as a library."
        ),
        '["The oldest building of Nelby School has 14 rooms.", "The oldest building of Nelby School is used as a library."]',
    ),
]

QUESTIONS = """Subject: {subject}
Fact: {fact}
Write up to {amount} questions that this fact answers, each with the answer in as few words as possible, copied from the \
fact. Ask for different things, also the other way round. Name the subject in each question. Write [] if the fact is vague."""
QUESTIONS_EXAMPLES = [
    (QUESTIONS.format(subject="Nelby School", amount=3, fact="Much has changed since then."), "[]"),
    (
        QUESTIONS.format(
            subject="Marlow Ferries", amount=3, fact="Ann Pellow bought a shipyard in Corrin for 4 million dollars."
        ),
        '[{"answer": "4 million dollars", "question": "How much did Ann Pellow pay for the shipyard in Corrin?"}, '
        '{"answer": "Ann Pellow", "question": "Who bought the shipyard in Corrin?"}, '
        '{"answer": "Corrin", "question": "Where is the shipyard that Ann Pellow bought?"}]',
    ),
    (
        QUESTIONS.format(
            subject="Nelby School", amount=3, fact="The library of Nelby School was opened on 3 May 1990 by Nils Berg."
        ),
        '[{"answer": "3 May 1990", "question": "When was the library of Nelby School opened?"}, '
        '{"answer": "Nils Berg", "question": "Who opened the library of Nelby School?"}, '
        '{"answer": "Nelby School", "question": "Which school has a library that was opened by Nils Berg?"}]',
    ),
]

ROLES = """{theme}

Name {amount} kinds of people who would ask questions about this, in one or two words each."""
ROLES_EXAMPLES = [
    (
        ROLES.format(theme="The text is about a ferry company that bought a shipyard.", amount=3),
        '["passenger", "shareholder", "journalist"]',
    )
]

DIVERSIFY = """Question: {question}
Ask the same thing in the words of a {role}."""
READER = "reader"  # the role of a plain rewording
DIVERSIFY_EXAMPLES = [
    (
        DIVERSIFY.format(question="The bridge at Hexley was opened on what date?", role="tourist"),
        '"When was the bridge at Hexley opened?"',
    ),
    (
        DIVERSIFY.format(question="In 1931 who became director of Marlow Ferries?", role="journalist"),
        '"Who took over as director of Marlow Ferries in 1931?"',
    ),
    (
        DIVERSIFY.format(question="Marlow Ferries: the new ship carries how many passengers?", role="pupil"),
        '"How many passengers fit on the new ship of Marlow Ferries?"',
    ),
    (
        DIVERSIFY.format(question="The expedition to Lake Orr was led by whom?", role="student"),
        '"Who was the leader of the expedition to Lake Orr?"',
    ),
    (
        DIVERSIFY.format(question="Nelby School: the pupils planted 40 trees in what park?", role="parent"),
        '"In which park did the pupils of Nelby School plant 40 trees?"',
    ),
    (
        DIVERSIFY.format(question="The winner of the Orr Cup received how many dollars?", role="fan"),
        '"How much money did the winner of the Orr Cup get?"',
    ),
]

CHECK = """{fact}

{question} Answer in as few words as possible, copied from the text."""
CHECK_EXAMPLES = [
    (
        CHECK.format(
            fact="On 3 May 1990 Ann Pellow opened the library of Nelby School, which cost 4 million dollars.",
            question="How much did the library of Nelby School cost?",
        ),
        '"4 million dollars"',
    ),
    (
        CHECK.format(
            fact="Nils Berg, a poet from Oslo, met Ida Holm in 1931.", question="When did Nils Berg meet Ida Holm?"
        ),
        '"1931"',
    ),
    (
        CHECK.format(
            fact="The bridge at Hexley was designed by Ida Holm.", question="Who drew up the bridge at Hexley?"
        ),
        '"Ida Holm"',
    ),
]

REWRITE = """{facts}

Write these facts again as {style}. Keep every name and number."""
STYLES = ("a short news report", "an entry of an encyclopedia", "a letter to a friend")

ABOUT = ("Tell me about {name}.", "What do you know about {name}?", "What can you say about {name}?")

GAP_WORDS = {"date": "what date", "year": "what year", "number": "how many {unit}", "name": "what", "quoted": "what"}
STARTS = {
    "date": ("When", "On what date"),
    "year": ("In what year",),
    "number": ("How {much}",),
    "name": ("Who", "What"),
    "quoted": ("What", "Which"),
}
EVERYDAY_WORDS = tuple(
    "the a an of in on at to for by with from and as that this it its his her their first new is are was were be been has have had do does "
    "did can will would name names called date day month year time place number people person many much long old far high deep large how "
    "make made take took taken give gave given get got go went come came become became lead led run runs win won lose lost pay paid cost "
    "price sell sold buy bought open opened close build built write wrote written work works play played find found discovered hold held "
    "begin began start started end ended leave left need needed last receive received use used set show sign signed move moved measure "
    "measured reach report reported named design designed call choose elected head boss director charge company team town club "
    "program version".split()
)

# What a question asks for, first match wins; a question for the wrong kind of answer is dropped.
ASKS_FOR = (
    (
        r"\b(?:when|what date|which date|what day|which day|on what|which month|what month)\b",
        ("date", "year", "quoted", ""),
    ),
    (r"\b(?:what year|which year)\b", ("year", "date")),
    (r"\bhow (?:many|much|long|old|far|high|deep|large|big|tall|fast|warm|cold|hot|often)\b", ("number", "")),
    (
        r"\b(?:what|which) (?:is|was|are|were) the (?:\w+ )?(?:number|price|cost|amount|sum|age|height|depth|length|size)\b",
        ("number", ""),
    ),
    (r"\b(?:who|whom|whose|where)\b", ("name", "quoted", "")),
    (r"\b(?:what|which) (?:is|was) the (?:\w+ )?name\b", ("name", "quoted", "")),
)
QUESTION_WORDS = frozenset(
    "name date day year month number long old much money cost price high person people place called".split()
)

ABOUT_PREFIX = "{subject}: {question}"


def conversation(examples: list[tuple[str, str]], request: str) -> Conversation:
    """A few-shot prompt in turns, the request last."""
    turns: Conversation = []
    for question, answer in [*examples, (request, "")]:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return turns[:-1]
