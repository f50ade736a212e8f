"""Redacts free text: what a program printed, a message, the value of a harmless name.

Knows where in a text a secret can be, and which words a text may have; must not know where the text comes from. A word stays when the
caller's ``allow`` says so: in what a program printed these are plain words, and the harmless forms of :mod:`eidos.redact.harmless_forms`.
Withheld whatever ``allow`` says: what follows a name with a credential word (``--token x``, ``password: x``, ``"secret": "x"``,
``Authorization: Bearer x``), userinfo and query of a URL, ``user:password@``, tokens of well-known issuers, private keys.

A redacted part is replaced by :data:`~eidos.model.measurement.WITHHELD`. Redaction is idempotent, and takes time linear in the text.

>>> redact_text("error: token AKIAIOSFODNN7EXAMPLE secret=hunter22 is expired, see https://example.com/?id=1")
('error: token <withheld> secret=<withheld> is expired, see https://example.com/?<withheld>', 3)
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.harmless_forms import PUNCTUATION, is_harmless, is_path, is_plain_word
from eidos.redact.random_words import word_set
from eidos.redact.secret_names import CREDENTIALS, ERRORS, FOLLOWERS, SHORTEST_TOKEN, has_credential_word, looks_like_token
from eidos.redact.urls_in_text import redact_urls
from eidos.redact.xml_elements import redact_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Allow = Callable[[str], bool]

#: Words between "Authorization:" and the secret (RFC 9110, 11.4); after the first two a secret is expected even without that header.
AUTH_SCHEMES = ("bearer", "basic", "digest", "negotiate", "token", "apikey")

#: Parameters that stand there in place of a secret (RFC 6750, 3; RFC 7616, 3; the distribution's "Token Authentication").
_PARAMETERS = word_set(
    "realm token username nonce cnonce nc uri qop response opaque algorithm stale domain charset error error_description scope service"
)

_BLANKS = " \t\r\n"
_QUOTES = "\"'`"
_BREAKS = ",;&?#|(){}[]"
_SEPARATORS = frozenset(_BLANKS + _QUOTES + _BREAKS)
_ESCAPED = ('\\"', "\\'")

#: How an expansion of the shell ends, by the bracket behind its dollar sign, its longest form, and what Python writes before quotes.
_EXPANSIONS, _EXPANSION_LENGTH, _LITERAL_PREFIXES = {"{": "}", "(": ")"}, 256, ("u", "b", "r", "f")

#: "user:x@y" holds no secret when it begins or ends like this: a digest of an image, an address, an instance of a unit.
_NOT_USERS = ("mailto", "sip", "acct")
_UNIT_SUFFIXES = (".service", ".socket", ".mount", ".target", ".slice", ".scope", ".device", ".timer", ".path", ".swap")
_DIGEST_PREFIXES = ("sha256:", "sha512:")

#: Flags before "user:password", in scripts that stand in settings, too.
_LOGIN_FLAGS = ("-u", "-U", "--user", "--proxy-user")

#: Assignments inside each other; what is nested more deeply is withheld.
_ASSIGNMENT_DEPTH = 32

#: Words before "key" where it is in a file whose path follows; behind others ("api key") what looks like a path is a secret, too.
_KEY_FILES = ("load", "loading", "read", "open", "private", "public", "ssh", "host", "tls", "identity", "for", "the")

#: Words that name the owner in "password for root on gpu-07: x".
_OWNER_WORDS = 5

_ADJECTIVES = ("ed", "ing", "able", "ible", "valid")
_CONNECTORS = word_set("is was are were be :")


def redact_text(text: str, allow: Allow | None = None, *, is_prose: bool = False) -> tuple[str, int]:
    """``text``, redacted, and the number of secrets; by default for what a program printed.

    >>> redact_text('curl -H "Authorization: Bearer abc" and the password was rejected')
    ('curl -H "Authorization: Bearer <withheld>" and the password was rejected', 1)
    """
    if "-----BEGIN" in text and "PRIVATE KEY" in text:
        return WITHHELD, 1
    text, count = redact_urls(text)
    text, elements = redact_elements(text)
    count += elements
    scan = _Scanner(allow or is_plain_word, is_prose=is_prose or allow is None)
    at = 0
    while at < len(text):
        c = text[at]
        escaped = c == "\\" and text[at + 1 : at + 2] in ('"', "'")
        if escaped:
            scan.out.append(c)
            at += 1
            c = text[at]
        is_value = c in _QUOTES and (scan.opens_value(c, escaped) or scan.continues_secret(c, escaped, text[at - 1 - escaped]))
        if is_value or (c in _QUOTES and text[at - 1 - escaped] in _BLANKS and scan.may_open_phrase(c, escaped)):
            end = _end_of_quote(text, at, escaped)
            if not is_value and not any(blank in text[at:end] for blank in _BLANKS):
                scan.add_separator(c, escaped)
                at += 1
                continue
            scan.add_quoted(c, escaped, text[at + 1 : end])
            at = end
        elif c in _SEPARATORS:
            scan.add_separator(c, escaped)
            at += 1
        else:
            end = at + 1
            while end < len(text) and text[end] not in _SEPARATORS and text[end : end + 2] not in _ESCAPED:
                end += 1
            if text[end - 1] == "$" and text[end : end + 1] in _EXPANSIONS and scan.expects_value(text[at:end]):
                end = max(end, text.find(_EXPANSIONS[text[end]], end, end + _EXPANSION_LENGTH) + 1)
            word, is_before_quote = text[at:end], text[end : end + 1] in ("'", '"')
            if is_before_quote and scan.expected and word.lower() in _LITERAL_PREFIXES:
                scan.out.append(word)
            else:
                scan.add_word(word, is_before_quote)
            at = end
    return "".join(scan.out), count + scan.count


def redact_output(output: bytes, *known: str) -> str:
    """What a program printed, without what may be a secret; words of ``known``, which are names of the caller's own, stay.

    >>> redact_output(b"bob@gpu7: Permission denied (publickey), password Winter22", "gpu7")
    'bob@gpu7: Permission denied (publickey), password <withheld>'
    """

    def allow(word: str) -> bool:
        for name in known:
            word = word.replace(name, "") if name else word
        return is_plain_word(word)

    return redact_text(output.decode("utf-8", "replace"), allow, is_prose=True)[0]


def _end_of_quote(text: str, begin: int, escaped: bool) -> int:
    """The index of the quote that closes the one at ``begin``, escaped as that one is; the end of the text when nothing closes it."""
    quote = text[begin]
    end = begin + 1
    while end < len(text):
        if escaped and text[end : end + 2] == "\\" + quote:
            return end
        if not escaped and text[end] == quote:
            return end
        end += 2 if text[end] == "\\" and not escaped else 1
    return len(text)


class _Scanner:
    """Goes over the words of a text and remembers what the next one may be: after a flag, after a label, after "Bearer"."""

    def __init__(self, allow: Allow, is_prose: bool) -> None:
        self.out: list[str] = []
        self.count = 0
        self.expected = ""
        self._after_label = False
        self._allow = allow
        self._is_prose = is_prose
        self._open_quotes = ["", ""]  # the quote that is open, and the escaped one
        self._words_before = ("", "")
        self._list_depth = 0  # brackets that are open, from that of a list of secrets on
        self._owner_words = 0  # that may still come before the secret: password for bob: x
        self._is_name_next = self._has_value_next = False

    def opens_value(self, quote: str, escaped: bool) -> bool:
        """Whether a quote opens the expected value: not when it closes the flag or the label itself (``["--token", "x"]``)."""
        return self.expected == "value" or (
            self.expected not in ("", "prose", "statement", "option") and quote != self._open_quotes[escaped]
        )

    def expects_value(self, word: str) -> bool:
        """Whether a secret ends ``word``, where an expansion begins: ``--token $(cat FILE)``, ``password=${NAME}``."""
        is_flag, is_sentence = self.expected[:4] == "flag", self.expected in ("prose", "statement")
        if self.expected and not (is_flag and word[0] == "-") and not (is_sentence and "=" in word):
            return True
        name = word.replace(":", "=").rpartition("=")[0]
        return has_credential_word(name) or (self._has_value_next and name.lower() == "value")

    def continues_secret(self, quote: str, escaped: bool, before: str) -> bool:
        """Whether a quote right behind a secret opens another part of it: ``password=x"y z"``."""
        is_behind = before not in _SEPARATORS and bool(self.out) and self.out[-1].endswith(WITHHELD)
        return is_behind and quote not in (self._open_quotes[escaped], self.out[-2][-1:] if len(self.out) > 1 else "")

    def may_open_phrase(self, quote: str, escaped: bool) -> bool:
        """Whether words in quotes that begin here would be the secret: ``passphrase "correct horse" is wrong``."""
        return self.expected in ("prose", "statement") and quote != self._open_quotes[escaped]

    def add_separator(self, c: str, escaped: bool) -> None:
        if c in _QUOTES:
            if c == self._open_quotes[escaped]:
                self._open_quotes[escaped] = ""
                self.expected += "-quoted" if self.expected == "flag" else ""
            else:
                self._open_quotes[escaped] = self._open_quotes[escaped] or c
        elif c in "[(" and (self._list_depth or self.expected == "value" or (c == "[" and self.expected == "label")):
            self._list_depth += 1
            self.expected = "label"
        elif c == "|" and self.expected in ("prose", "statement", "label"):  # of a table, or of YAML
            self.expected = "label" if self.expected == "label" else "statement"
        elif self._list_depth:
            self._list_depth -= c in "])"
            self.expected = "label" if self._list_depth else ""
        elif (c in _BREAKS and self.expected != "flag-quoted") or (self.expected == "value" and c in _BLANKS):
            self.expected, self._after_label = "", False
        self.out.append(c)

    def add_quoted(self, quote: str, escaped: bool, inside: str) -> None:
        self._open_quotes[escaped] = quote
        self.out.append(quote)
        if self.expected.startswith("flag") and inside.startswith("--"):
            self.expected = ""
            self.add_word(inside)
            return
        self.expected = ""
        self._put(*_withhold(inside))
        self._expect_in_list()

    def add_word(self, word: str, is_before_quote: bool = False) -> None:
        expected, self.expected = self.expected, ""
        label, self._after_label = self._after_label, False
        older, before = self._words_before
        self._words_before = (before, word)
        owner_words, self._owner_words = self._owner_words, max(0, self._owner_words - 1)
        if self._announces_value(word):
            key = word[: len("value:")]
            self.expected = "label" if key == word else ""
            self._put(*((word, 0) if key == word or word[len(key) :] == WITHHELD else (key + WITHHELD, 1)))
        elif word in ("=", ":", "=>", "->", ":=") and (label or expected or owner_words):
            self.expected = "label"
            self._put(word)
        elif owner_words and (word.endswith(":") or _bare(word) in _CONNECTORS):
            self.expected = "label" if word.endswith(":") else "statement"
            self._put(*_allowed(word, self._allow))
        elif expected in ("label", "flag", "flag-quoted", "scheme") and word.lower() in AUTH_SCHEMES:
            self.expected = "prose" if expected == "scheme" and self._is_prose else "label"
            self._put(word)
        elif expected == "label" and not word.strip("|>+-"):  # of YAML: the text begins in the next line
            self.expected = "label"
            self._put(word)
        elif is_before_quote and before.lower() in AUTH_SCHEMES and word[-1] == "=" and word[:-1] in _PARAMETERS:
            self._start(word, before)  # a parameter: Token token="x"
        elif (
            (expected == "label" and not (self._is_prose and _bare(word) in ERRORS))
            or (expected[:4] == "flag" and not word.startswith("-"))
            or (expected == "scheme" and len(word) >= 6 and not _is_follower(word))
        ):
            self._put(*_withhold(word))
        elif expected in ("prose", "statement") and "=" not in word and (not word.endswith(":") or _bare(word) in _CONNECTORS):
            if _bare(word) in _CONNECTORS or not any(map(str.isalnum, word)):
                self.expected = "label" if word.endswith(":") else "statement"
                self._put(word)
            elif _is_follower(word) or _bare(word) in CREDENTIALS or word.lower() in AUTH_SCHEMES[:2] or _is_no_secret(word, before, older):
                if word.lower() in ("for", "of") and "pass" in before.lower():
                    self._owner_words = _OWNER_WORDS
                self._start(word, before)
            else:
                self._put(*_withhold(word))
        elif expected == "option" and not word.startswith("-") and not any(part in word for part in ("=", WITHHELD)) and word[-1] != ":":
            self._put(*((word, 0) if is_harmless(word) or _bare(word) in FOLLOWERS else _withhold(word)))
        else:
            self._start(word, before)
        self._expect_in_list()

    def _announces_value(self, word: str) -> bool:
        """Whether ``word`` is or leads to the value of a variable whose name, a credential's, came before: ``Name:PASSWORD Value:x``."""
        key, _, rest = word.lower().replace("=", ":").partition(":")
        if key == "name":
            self._is_name_next, self._has_value_next = not rest, has_credential_word(rest)
        elif key and self._is_name_next:
            self._is_name_next, self._has_value_next = False, has_credential_word(word)
        elif word[-1] in ".…":  # the end of a sentence
            self._has_value_next = False
        elif key == "value" and self._has_value_next:
            self._has_value_next = False
            return True
        return False

    def _expect_in_list(self) -> None:
        if self._list_depth:
            self.expected = "label"

    def _start(self, word: str, before: str) -> None:
        """Add a word that nothing announced; ``before`` is the one before it."""
        name, equals, value = word.partition("=")
        label, colon, _ = name.partition(":")
        is_login = "@" in value and label and label.lower() not in _NOT_USERS and not has_credential_word(name)
        if equals and name and not (colon and (is_login or has_credential_word(label))):
            if value.lower() in AUTH_SCHEMES and has_credential_word(name):
                self.expected = "label"  # Authorization=Bearer x
                self._put(word)
            elif value:
                self._put(*_redact_assignment(name, value, self._allow))
            else:
                self.expected = "value" if has_credential_word(name) else ""
                self._put(*((word, 0) if self._allow(name) else _withhold(word)))
            return
        is_code = word.lower().startswith(("code", "phrase")) and has_credential_word(f"{before}-{word}")  # recovery code
        is_credential = is_code or (has_credential_word(word) and "</" not in word)
        if word.startswith("-") and is_credential and ":" not in word[:-1] and (self._allow(word) or self._allow(word.lstrip("-"))):
            self.expected = "flag"
        elif word.endswith(":") and is_credential and self._allow(word):
            self.expected = "label"
        elif word.lower() in AUTH_SCHEMES[:2]:
            self.expected = "label" if word[0].isupper() else "scheme"
        elif is_credential and ":" not in word and "@" not in word and self._allow(word):
            self._after_label = True
            self.expected = "prose" if self._is_prose and word[-1] != "." and _bare(word) != "webhook" else ""
        else:
            if (self._is_prose and word.startswith("-") and len(word) > 1) or word in _LOGIN_FLAGS:
                self.expected = "option"
            self._put(*_redact_by_form(word, self._allow))
            return
        self._put(word)

    def _put(self, text: str, count: int = 0) -> None:
        self.out.append(text)
        self.count += count


def _bare(word: str) -> str:
    return word.strip(PUNCTUATION).lower()


def _is_no_secret(word: str, before: str, older: str) -> bool:
    """Whether a word is a flag (``-p``, ``--port``, not ``-x-7`` or ``---``), or the file of a key (``Load key "/root/.ssh/id_rsa"``)."""
    if word.startswith("-"):
        return word[2:3] != "-"
    return before.lower() in ("key", "keys") and _bare(older) in _KEY_FILES and word.count("/") > 1 and is_path(word)


def _is_follower(word: str) -> bool:
    return _bare(word) in FOLLOWERS or _bare(word).endswith(_ADJECTIVES)


def _withhold(value: str) -> tuple[str, int]:
    return (value, 0) if not value or value == WITHHELD else (WITHHELD, 1)


def _redact_assignment(name: str, value: str, allow: Allow) -> tuple[str, int]:
    """``name=value`` where the value has no separators; it may be an assignment itself (``--env=TOKEN=x``)."""
    if not (allow(name) or allow(name.lstrip("-"))):
        return WITHHELD, 1
    names = [name]
    while not has_credential_word(name):
        inner, equals, rest = value.partition("=")
        if not (equals and inner and rest):
            shown, count = _redact_by_form(value, allow)
            break
        if len(names) == _ASSIGNMENT_DEPTH or not allow(inner):
            shown, count = WITHHELD, 1
            break
        name, value = inner, rest
        names.append(name)
    else:
        shown, count = _withhold(value)
    return "=".join((*names, shown)), count


def _redact_by_form(word: str, allow: Allow) -> tuple[str, int]:
    """A word without a name: ``user:password@host``, ``label:secret``, or something that looks like a token."""
    if word.startswith("//"):  # a share: //user:password@host/name
        slashes = len(word) - len(word.lstrip("/"))
        slashes -= slashes % 2
        shown, count = _redact_by_form(word[slashes:], allow)
        return "/" * slashes + shown, count
    name, colon, rest = word.partition(":")
    user, at, host = rest.rpartition("@")
    if user == WITHHELD and name == "iscsi":
        shown, count = _allowed(host, allow)
        return f"{name}:{user}@{shown}", count
    is_jdbc = name == "jdbc" and "://" not in word  # jdbc:oracle:thin:user/password@host
    if (
        at
        and name
        and user
        and (is_jdbc or name == "iscsi" or "/" not in name + user or has_credential_word(user.rpartition("=")[0]))
        and not host.startswith(_DIGEST_PREFIXES)
        and not word.endswith(_UNIT_SUFFIXES)
    ):
        if name.lower() not in _NOT_USERS:
            public = "iscsi:" if name == "iscsi" and ":" in user else ""
            shown, count = _withhold(word[len(public) : -len(host) - 1])
            host, more = _allowed(host, allow)
            return f"{public}{shown}@{host}", count + more
    elif colon and has_credential_word(name) and not rest.startswith("//") and allow(name):
        shown, count = _withhold(rest)
        return f"{name}:{shown}", count
    clean, count = _redact_tokens(word, ":/@=")
    shown, is_withheld = _allowed(clean, allow)
    return shown, is_withheld or count


def _allowed(word: str, allow: Allow) -> tuple[str, int]:
    return (word, 0) if not word or word == WITHHELD or allow(word) else (WITHHELD, 1)


def _redact_tokens(word: str, separators: str) -> tuple[str, int]:
    """Redact the parts between ``separators`` that look like tokens."""
    if len(word) < SHORTEST_TOKEN:
        return word, 0
    if not separators:
        return (WITHHELD, 1) if looks_like_token(word) else (word, 0)
    parts = [_redact_tokens(part, separators[1:]) for part in word.split(separators[0])]
    return separators[0].join(part for part, _ in parts), sum(count for _, count in parts)
