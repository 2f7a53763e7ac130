"""Read which phases a “Dependencies” value names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache

from batches.core.plans.labels import KEY
from batches.core.plans.languages import in_english

_NONE = re.compile(
    r"^(?:none|no dependenc(?:y|ies)|no|nothing|n/?a|nil|independent|standalone|not applicable|[-\u2013\u2014]+)"
    r"(?=$|[\s.,;:(\u2013\u2014-])",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"\b(?:all|every|each|any)\s+(?:of\s+)?(?:the\s+)?(?P<which>previous|prior|preceding|earlier|above|other|remaining)?\s*phases?\b"
    r"(?P<after>\s+(?:above|before(?:\s+this)?|so far))?(?!\s*[-:]?\s*[0-9])"
    r"|\b(?:all|everything)\s+(?:of\s+)?(?:the\s+)?(?:previous|prior|preceding|earlier|above|before|so far)(?!\w)"
    r"|\b(?:all|everything)(?=,?\s+(?:but|except|excluding|other\s+than|apart\s+from|besides|minus|save|without)\b)",
    re.IGNORECASE,
)
_PREVIOUS = re.compile(r"\b(?:the\s+)?(?:previous|prior|preceding)\s+phase\b|^(?:the\s+)?previous(?:\s+one)?\.?$", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w-])phases?(?:\b|(?=[0-9_]))[\s:#_-]*", re.IGNORECASE)
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")
_STRUCK = re.compile(r"~~[^~]*~~")
_DELETED = re.compile(r"<(?P<tag>s|del|strike)>.*?</(?P=tag)>", re.IGNORECASE | re.DOTALL)
# The words right before a phase that turn its meaning round. “Not before Phase 2” means after it.
_NOT_BEFORE = re.compile(
    r"\b(?:not|never|cannot|can't|must\s*n[o']t|won't|shouldn't|no|nor)\b[^,;.]{0,60}"
    r"\b(?:before|until|till|unless|without|earlier\s+than|sooner\s+than|prior\s+to|ahead\s+of)\s+(?:the\s+|waiting\s+for\s+)?$",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"(?:\b(?:not?|never|neither|nor|without|cannot|unrelated\s+to|regardless\s+of|irrespective\s+of|instead\s+of|rather\s+than)\b|\w+n['\u2019]t\b)"
    r"(?:\s+\w+){0,6}\s*$",
    re.IGNORECASE,
)
_EXCEPT = re.compile(
    r"\b(?:except(?:ing)?(?:\s+for)?|excluding|but(?:\s+not)?|other\s+than|apart\s+from|aside\s+from|besides|minus|save(?:\s+for)?|bar|barring|without|not)"
    r"\s*:?\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_EXCEPT_KEY = re.compile(
    r"\b(except(?:ing)?(?:\s+for)?|excluding|but(?:\s+not)?|other\s+than|apart\s+from|besides|minus|save(?:\s+for)?|without|not)"
    r"\s*:?\s+(?=[0-9]+[.\w]*(?:\s*(?:$|[,;.)]|and\b|or\b|-)))",
    re.IGNORECASE,
)
_TURNED = re.compile(
    r"\b(?:un)?blocks?|\bblocking|\bbefore|\bprecedes?|\bpreceding|\bahead\s+of|\bprior\s+to|\benables?|\brequired\s+(?:by|for)|\bneeded\s+(?:by|for)"
    r"|\b(?:prerequisite|prereq|dependency|input|basis|base|foundation)\s+(?:of|for|to)|\bfollowed\s+by|\bfeeds(?:\s+into)?|\bleads\s+to"
    r"|\bearlier\s+than|\bused\s+by|\bdepended\s+on\s+by|\bgates|\bmust\s+finish\s+before|\bthen|\bnext",
    re.IGNORECASE,
)
_TURNED_END = re.compile(rf"(?:{_TURNED.pattern})\s*:?\s+(?:(?:the|start\s+of|starting|beginning)\s+)*$", re.IGNORECASE)
_WAITS = re.compile(
    r"^\s*(?:\+|(?:and|or)\s+(?:later|up|above|higher|after|following)\b|onwards?\b|ff\b)"  # “Phases 2 onwards”: how far?
    r"|^\s*(?:(?:also|both|will|must|then|all|ha(?:s|ve)\s+to)\s+)*(?:depends?\b|waits?\b|requires?\b|needs?\b|(?:is|are)\s+(?:blocked|gated)\b|builds?\s+on\b|comes?\s+after\b|follows?\b)",
    re.IGNORECASE,
)
_NOT_AFTER = re.compile(
    r"^\s*(?:does|do|need)s?(?:\s+not|n['\u2019]t)\b"
    r"|^\s*(?:is|are|was|were)?\s*(?:not|no\s+longer|n't|isn['\u2019]t|aren['\u2019]t)\s+(?:\w+\s+)?(?:needed|required|necessary|a\s+dependency|relevant)\b",
    re.IGNORECASE,
)
# A phase that may run in parallel with another one does not wait for it.
_BESIDE = re.compile(
    r"\b(?:in\s+)?(?:parallel\s+(?:with|to)|(?:concurrent|simultaneous)(?:ly)?\s+with|alongside|independent(?:ly)?\s+(?:of|from)|at\s+the\s+same\s+time\s+as)\s+"
    r"(?:the\s+)?$",
    re.IGNORECASE,
)
# The words that may stand before a phase that is waited for. Any other word may turn the meaning round, in whatever language.
_BEFORE = re.compile(
    r"an?|after|all|also|and|any|are|as|at|base[ds]?|be|beg[iu]ns?|blocked|both|buil(?:ds?|t|ding)|by|can|cannot|code|comes|complet(?:e[ds]?|ing|ion)|consumes|"
    r"continues|deliver(?:y|ed)|depend(?:s|ent|ing|enc(?:y|ies))?|directly|done|each|earlier|either|ends?|entire|every(?:thing)?|execution|extends|"
    r"finish(?:e[ds]|ing)?|first|follow(?:s|ing)?|for|full(?:y)?|gated?|green|hard|has|have|here|immediately|implementation|implicitly|in|including|is|its?|"
    r"just|least|logically|mainly|merge[ds]?|merging|must|need(?:s|ed)?|of|off|on|once|only|outputs?|pass(?:es|ed|ing)|phases?|planned|plus|possible|"
    r"pre-?requisites?|primarily|prior|rel(?:y|ies)|requir(?:e[ds]?|ing)|results?|right|runs?|same|sequential(?:ly)?|shortly|should|sign-?off|soft|soon|stage|"
    r"start(?:s|ed)?|strict(?:ly)?|strong|success(?:ful|fully)?|such|technically|that|the|then|this|to|until|upon|us(?:es?|ing)|wait(?:s|ing)?|when|where|"
    r"which|whole|will|with|work",
    re.IGNORECASE,
)
_FROM = re.compile(r"\b(?:from|after)\s+(?:the\s+)?$", re.IGNORECASE)  # “the tables from Phase 2”: what is needed may have any name
_APART = re.compile(
    r"\b(?:decoupled|separated?|moved|split|differs?|different|isolated|removed|free|extracted|protected|long|weeks?|optional(?:ly)?|if|unless)\b",
    re.I,
)
_PART = re.compile(
    r"\b(?:half|parts?|some|start|beginning|most)\s+of\s+(?:the\s+)?$|\b(?:starts?|begins?|runs?|in\s+parallel)\s+with\s+(?:the\s+)?$|(?<!wait)(?<!waits)(?<!waiting)\s+for\s+(?:the\s+)?$"
    r"|\bif\b|[%\u2190-\u21ff]|<-|->|=>|[0-9]",
    re.IGNORECASE,
)
# What may turn a phase that was named into the one that waits, into a maybe, or into a part of it.
_AFTER = re.compile(
    r"^['\u2019]?\s*(?:[%\u2190-\u21ff]|<[-=]|[-=]>)"
    r"|\b(?:uses?|using|relies|rely|follows?|following|after|later|afterwards|can|could|may|might|would|if|unless|optional(?:ly)?|starts?|begins?|started|"
    r"parallel|simultaneous(?:ly)?|concurrent(?:ly)?|independent(?:ly)?|instead|supersedes?|replaces?|half|partly|partially|but|except|excluding|was|were|"
    r"beg[au]n|kicked\s+off|under\s?way|in\s+progress|ongoing|running|overlap(?:s|ping)?|recommended|preferred|helpful)\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"^\s*(?:[:\u2013\u2014]|-{1,2}\s|(?:for|because|since|so|as|which|where|whose|to|due)\b)|\s[-\u2013\u2014]\s", re.IGNORECASE
)
_ADDS = re.compile(r"[,;.\n]|\s(?:and|&|\+|plus|as\s+well\s+as|along\s+with|in\s+addition\s+to)\s", re.IGNORECASE)
_ADDED = re.compile(r"[(\[](\s*(?:and|plus|also|&|\+|as\s+well\s+as)\s[^()\[\]]*)[)\]]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_SPELLED = re.compile(rf"(?:{KEY})")
_CODED = re.compile(r"[A-Za-z]{1,8}-?[0-9]{1,4}[a-z]?")


@lru_cache(maxsize=16)
def _key_patterns(words: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The patterns for a key after “Phase” and for further keys after it. `words` are the plan's word keys, joined by |."""
    key = rf"(?P<key>{words}{'|' if words else ''}{KEY})(?!\w|/(?!(?:{words}{'|' if words else ''}{KEY})(?![\w/])))"
    joined = r"(?P<range>-|\u2013|\u2014|to|through|thru|\.\.\.?)|(?:[,;/&+]|and\b|or\b)(?:\s*(?:and|or|&)\b)?"
    first = rf"[`\"'*\u201c]*{key}[`\"'*\u201d]*"
    following = rf"\s*(?:{joined})\s*(?:phases?\s+)?[`\"'*]*{key}[`\"'*]*"
    return re.compile(first, re.IGNORECASE), re.compile(following, re.IGNORECASE)


_SEPARATOR = re.compile(r"[,;\n]|\s+and\s+|\s+&\s+|\s+\+\s+")
_BARE = re.compile(rf"^#?[`\"'*]*(?P<key>{KEY})[`\"'*]*\.?$")
_BARE_RANGE = re.compile(rf"^(?P<low>{KEY})\s*(?:-|\u2013|\u2014|to|through|\.\.\.?)\s*(?P<high>{KEY})$")
_EXPLAINS = re.compile(
    r"\s[-\u2013\u2014]+\s|\u2014|:\s|\s(?:for|because|since|as|so|which|must|needs?|provides?|when|if|then|before|until|once|to)\s",
    re.IGNORECASE,
)
_PLAIN_LIST = re.compile(rf"Phase {KEY}(?:, (?:Phase )?{KEY})*")  # most values look like this
_JUNK = re.compile(r"^(?:(?:must|should)\s+be\s+)?(?:complete[d]?|done|finished|merged|both|required|only|etc)?[.!\s]*$", re.IGNORECASE)


@dataclass(slots=True)
class References:
    """The phases that a value names, by position; whether it says “None”; and what could not be understood."""

    places: list[int] = field(default_factory=list)
    says_none: bool = False
    undefined: list[str] = field(default_factory=list)  # names of phases that do not exist, as written
    prose: list[str] = field(default_factory=list)  # text that names no phase
    beside: list[int] = field(default_factory=list)  # phases that it may run in parallel with
    excluded: list[int] = field(default_factory=list)  # phases that it says not to depend on
    turned: list[str] = field(default_factory=list)  # text that says which phases wait for this one, or denies without a sense
    unsure: list[str] = field(default_factory=list)  # text around a phase that may mean something else than waiting for it
    loose: list[str] = field(default_factory=list)  # remarks in brackets that need not be waited for: “(optional)”, “(can overlap)”


class PhaseNames:
    """The phases of a plan, under every name that a dependency may use."""

    def __init__(
        self, keys: Sequence[str], titles: Sequence[str], aliases: Sequence[str] = (), groups: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """`aliases` are what the document calls each phase (“Final Phase”; "" for “Phase KEY”); `groups` {key: keys of its parts}."""
        self.keys = tuple(keys)
        coded = [key for key in keys if _CODED.fullmatch(key) and not _SPELLED.fullmatch(key)]  # “WP01”, “US-001” mean nothing else
        self._alias_of = {
            alias.lower(): key for alias, key in [*zip(coded, coded, strict=True), *zip(aliases, keys, strict=False)] if alias
        }
        longest_first = sorted(self._alias_of, key=len, reverse=True)
        self._aliases = (
            re.compile(rf"(?<![\w/-])(?<!phase )(?<!phases )(?:{'|'.join(map(re.escape, longest_first[:500]))})(?!\w)", re.IGNORECASE)
            if longest_first
            else None
        )
        self._titles = titles
        self._by_key: dict[str, int] = {}
        self._by_title: dict[str, int] | None = None
        self._by_stem: dict[str, list[str]] | None = None
        self._comparisons = 0
        # The longest first, so that "core-api" is not read as "core". With over 500 of them, only keys on their own are found.
        words = sorted((re.escape(key) for key in keys if not _SPELLED.fullmatch(key)), key=len, reverse=True)
        self.words = "|".join(words) if len(words) <= 500 else ""
        for place, key in enumerate(keys):
            self._by_key.setdefault(key.lower(), place)

        self.groups = {group.lower(): [self._by_key[key.lower()] for key in parts] for group, parts in (groups or {}).items()}

    def spelled(self, text: str) -> str:
        """The text with the document's own names of phases (“Final Phase”, “WP01”) written as “Phase KEY”."""
        return self._aliases.sub(lambda found: f"Phase {self._alias_of[found.group().lower()]}", text) if self._aliases else text

    def key(self, name: str) -> int | None:
        """The position of the phase with this key, ignoring case."""
        return self._by_key.get(name.lower())

    def title(self, name: str) -> int | None:
        """The position of the phase with this full title or “key: title”, ignoring case; None if two phases share it."""
        if self._by_title is None:
            self._by_title = {}
            for place, title in enumerate(self._titles):
                for form in {_folded(title), _folded(f"{self.keys[place]} {title}")}:
                    if form:
                        self._by_title[form] = -1 if form in self._by_title else place
        position = self._by_title.get(_folded(re.sub(r"^\s*phase\s+", "", name, flags=re.IGNORECASE)), -1)
        return None if position < 0 else position

    def nearest(self, name: str) -> str:
        """The key that an undefined name most likely means; "" if none or several are close, or after very many calls."""
        lowered = name.lower()
        if self._by_stem is None:
            self._by_stem = {}
            for key in self._by_key:
                self._by_stem.setdefault(_LETTERS_AT_END.sub("", key), []).append(key)
        if re.fullmatch(r"[0-9]+\.0+", lowered) and (whole := self.key(lowered.partition(".")[0])) is not None:
            return self.keys[whole]
        if lowered.isdecimal() and (whole := self.key(f"{lowered}.0")) is not None:
            return self.keys[whole]
        same_number = self._by_stem.get(lowered, [])
        if len(same_number) == 1:
            return self.keys[self._by_key[same_number[0]]]
        without_letter = _LETTERS_AT_END.sub("", lowered)
        if without_letter != lowered and without_letter in self._by_key:
            return self.keys[self._by_key[without_letter]]
        # Comparing letter by letter is slow: a plan gets only as many hints as a person would read.
        self._comparisons += 2 * len(self.keys)
        if self._comparisons > _MAX_COMPARISONS:
            return ""
        near = get_close_matches(lowered[:60], self._by_key, n=2, cutoff=0.6)
        if len(near) == 1:
            return self.keys[self._by_key[near[0]]]
        titles = {_folded(title)[:60]: place for place, title in enumerate(self._titles)}
        close = get_close_matches(_folded(name)[:60], titles, n=2, cutoff=0.75)
        return self.keys[titles[close[0]]] if len(close) == 1 else ""


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _without_brackets(text: str) -> str:
    """The text without round and square brackets and their content, nested ones too. An unclosed bracket reaches to the end."""
    kept: list[str] = []
    depth = 0
    for char in text:
        if char in "([":
            depth += 1
        elif char in ")]":
            depth = max(0, depth - 1)
        elif not depth:
            kept.append(char)
    return "".join(kept)


def read_references(value: str, names: PhaseNames, place: int) -> References:
    """The phases that `value` names, for the phase at position `place`.

    It understands keys, “Phase 2a” and full titles in any case; lists with commas and “and”; “Phases 1, 2”; ranges such as
    “Phase 4-8” in document order; “All previous phases”; and reasons in brackets or after a dash. A clause that names no phase
    is prose, unless it continues a reason from the clause before.
    """
    references = References()
    if value == "None":
        references.says_none = True
        return references
    if _PLAIN_LIST.fullmatch(value):
        for name in value.split(","):
            _add_key(name.strip().removeprefix("Phase "), names, references)
        return references
    value = in_english(names.spelled(value))
    if "hase" not in value:  # “Task 2” is Phase 2 where that is a phase
        value = _OTHER_UNIT.sub(lambda found: f"Phase {found['key']}" if names.key(found["key"]) is not None else found.group(), value)
    whole = value.strip().strip("*_").strip()
    titled = names.title(whole)
    if titled is not None:
        references.places.append(titled)
        return references
    listed = re.fullmatch(r"\[(?P<items>[^\[\]]*)\]", value.strip())
    if listed:  # “[0, 1]”, as in YAML and JSON
        if not listed["items"].strip():
            references.says_none = True
            return references
        value = re.sub(r"[\"']", "", listed["items"])
    value = _DELETED.sub("", _STRUCK.sub("", value))
    text = _without_brackets(_ADDED.sub(r" \1", _LINK.sub(r"\1", value)).replace("**", "").replace("`", "")).strip()
    nothing = _NONE.match(text)
    if nothing:
        references.says_none = True
        rest = text[nothing.end() :].strip()
        but = _BUT.match(rest)
        if but and _MENTION.search(rest):  # “None, except Phase 2”
            references.says_none = False
            text = rest[but.end() :]
            nothing = None
    if nothing:
        # "None, Phase 2" is a contradiction; "None - can run beside Phase 2" is an explanation.
        if not rest.startswith((",", ";")) and not rest.lower().startswith("and "):
            return references
        text = rest.lstrip(",; ").removeprefix("and ")
    if not text.strip(" .,;"):
        if not nothing and value.strip():
            references.prose.append(value.strip())
        return references
    references.loose.extend(found[0] for found in _LOOSE_REMARK.finditer(value))
    text = _read_groups(text, names, place, references)
    explaining = False
    for clause in _clauses(text):
        if clause == _READ:
            explaining = False
            continue
        clause = clause.strip().strip(".").strip()
        if not clause or _JUNK.match(clause):
            continue
        before = len(references.places) + len(references.undefined)
        _read_clause(clause, names, references)
        if len(references.places) + len(references.undefined) > before or clause.startswith(_READ):
            explaining = bool(_EXPLAINS.search(clause))
        elif not explaining and _READ not in clause:
            references.prose.append(clause)
    if references.excluded:
        references.places = [other for other in references.places if other not in references.excluded]
    if not (references.places or references.undefined or references.turned):
        if nothing:
            references.prose.clear()  # “None; can start at once”
        elif references.excluded and not references.prose:
            references.says_none = True
        elif references.beside and not references.prose:
            references.prose.append(value.strip())
    return references


_LOOSE_REMARK = re.compile(
    r"\([^()]*\b(?:optional(?:ly)?|soft|overlap(?:s|ping)?|partial(?:ly)?|half|in\s+parallel|concurrent(?:ly)?|nice\s+to\s+have|recommended|preferred|ideally"
    r"|(?:can|may|could)\s+(?:start|begin|run)|start(?:ed)?\s+is\s+enough|not\s+(?:strictly\s+)?(?:required|needed|blocking|necessary))\b[^()]*\)",
    re.IGNORECASE,
)
_OTHER_UNIT = re.compile(
    r"\b(?:tasks?|steps?|story|stories|milestones?|epics?|stages?|parts?|sprints?|waves?|features?|chapters?|sections?|modules?)\s+#?(?P<key>[0-9]+(?:\.[0-9]+)*[a-z]?)\b",
    re.IGNORECASE,
)
_BUT = re.compile(
    r"^[,;:.\u2013\u2014-]*\s*(?:except(?:\s+for)?|but(?:\s+for)?|other\s+than|apart\s+from|besides|only|just|save)\b\s*(?:for\s+)?",
    re.IGNORECASE,
)
_SINCE = re.compile(r"[;.\n]|,\s+(?!except|but|excluding|other|apart|not\b|without|save|minus)")
_LETTERS_AT_END = re.compile(r"[a-z]+$")
_MAX_COMPARISONS = 10_000
_ENDS = re.compile(r"\s*(?:$|[,;.)])")
_READ = "\x01"  # stands for mentions already read; the source has no control characters
_PASSED = "\x02"  # for those that are not waited for, while the others are looked at
_MARKS = re.compile(f"[{_READ}{_PASSED}]")


def _read_groups(text: str, names: PhaseNames, place: int, references: References) -> str:
    """Read each “Phase …” group and each “all previous phases” in `text`, and replace them by _READ."""

    def is_turned(mention: re.Match[str]) -> bool:
        before = _SINCE.split(text[: mention.start()])[-1]
        if not before.strip() or _NOT_BEFORE.search(before) or not (_NOT.search(before) or _TURNED_END.search(before)):
            return False
        references.turned.append(f"{before}{mention.group()}".strip(f" {_READ}"))
        return True

    def add_all(mention: re.Match[str]) -> str:
        if is_turned(mention):
            return _READ
        others = (mention["which"] or "").lower() in ("other", "remaining")
        references.places.extend(other for other in range(len(names.keys)) if (other != place if others else other < place))
        return _READ

    def add_previous(mention: re.Match[str]) -> str:
        if is_turned(mention):
            return _READ
        if place:
            references.places.append(place - 1)
        return _READ

    text = _EXCEPT_KEY.sub(r"\1 Phase ", text)
    text = _ALL.sub(add_all, text)
    text = _PREVIOUS.sub(add_previous, text)
    first_key, next_key = _key_patterns(names.words)
    kept: list[str] = []
    at = 0
    for mention in _MENTION.finditer(text):
        if mention.start() < at:
            continue
        first = first_key.match(text, mention.end())
        if not first or (
            first["key"].isalpha() and len(first["key"]) == 1 and names.key(first["key"]) is None and not _ENDS.match(text, first.end())
        ):
            continue  # “phase a” in a sentence
        kept.append(text[at : mention.start()])
        into = References() if _BESIDE.search(kept[-1]) else references
        before = _SINCE.split(kept[-1])[-1] if kept[-1] else ""
        turned = excluded = False
        if before and not _NOT_BEFORE.search(before) and into is references:
            excluded = bool(_EXCEPT.search(before) or _NOT.search(before))
            turned = not excluded and bool(_TURNED_END.search(before))
        kept.append(_READ if into is references and not (turned or excluded) else _PASSED)
        at = first.end()
        low = first["key"]
        if turned or excluded:
            into = References()
        _add_key(low, names, into)
        while following := next_key.match(text, at):
            if following["key"].isalpha() and names.key(following["key"]) is None:
                break
            if following["range"]:
                _add_range(low, following["key"], names, into)
            else:
                _add_key(following["key"], names, into)
            low, at = following["key"], following.end()
        tail = _SINCE.split(text[at:], maxsplit=1)[0]
        if into is references and (_WAITS.match(tail) or _NOT_AFTER.match(tail)):
            references.turned.append(f"{text[mention.start() : at]}{tail}".strip())
        elif turned:
            references.turned.append(f"{before}{text[mention.start() : at]}".strip())
        elif excluded:
            references.excluded.extend(into.places)
            references.undefined.extend(into.undefined)
        else:
            references.beside.extend(into.places if into is not references else ())
    kept.append(text[at:])
    read = "".join(kept)
    references.unsure.extend(_unsure(read))
    return read.replace(_PASSED, _READ)


def _unsure(text: str) -> Iterator[str]:
    """The clauses in which the words around a phase that was read are none that speak of waiting for it."""
    for clause in _ADDS.split(text):
        if clause is None or _READ not in clause:
            continue
        parts, marks = _MARKS.split(clause), _MARKS.findall(clause)
        for at, mark in enumerate(marks):
            if mark != _READ:
                continue
            before, after = parts[at], parts[at + 1]
            is_last = at + 1 == len(marks)
            if not _waits_for(before) or (is_last and not _REASON.search(after) and _AFTER.search(after)):
                yield _MARKS.sub("Phase …", clause).strip()
                break


def _waits_for(before: str) -> bool:
    """Whether the words before a phase speak of waiting for it."""
    if before.strip() == "" or _NOT_BEFORE.search(before):
        return True
    if _PART.search(before):
        return False
    if _FROM.search(before):
        return not _APART.search(before)
    return all(_BEFORE.fullmatch(word) for word in _WORD.findall(before))


def _add_key(key: str, names: PhaseNames, references: References) -> None:
    known = names.key(key)
    if known is None and key.lower() in names.groups:
        references.places.extend(names.groups[key.lower()])
    elif known is None:
        references.undefined.append(key)
    else:
        references.places.append(known)


def _add_range(low: str, high: str, names: PhaseNames, references: References) -> None:
    """Add the phases after `low` up to `high`, in document order."""
    first, last = names.key(low), names.key(high)
    if first is None or last is None:
        _add_key(high, names, references)
        return
    references.places.extend(range(first + 1, last + 1) if first <= last else range(last, first))


def _clauses(text: str) -> list[str]:
    return [clause for clause in _SEPARATOR.split(text) if clause is not None]


def _read_clause(clause: str, names: PhaseNames, references: References) -> None:
    """Read a clause that is only a key, a range or a full title. “Phase 2 docs” names no other phase called “Docs”."""
    if _READ in clause:
        return
    known = names.key(clause)
    if known is not None:
        references.places.append(known)
        return
    bare = _BARE.match(clause)
    if bare and (names.key(bare["key"]) is not None or not bare["key"].isalpha()):
        _add_key(bare["key"], names, references)
        return
    span = _BARE_RANGE.match(clause)
    if span:
        _add_key(span["low"], names, references)
        _add_range(span["low"], span["high"], names, references)
        return
    titled = names.title(clause)
    if titled is not None:
        references.places.append(titled)
        return
    # "2 - the base", "2a: for the models"
    head = re.match(rf"^(?P<key>{KEY})\s*(?:[:\u2013\u2014]|-)\s+\S", clause)
    if head and names.key(head["key"]) is not None:
        _add_key(head["key"], names, references)
