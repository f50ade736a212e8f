"""Redacts command lines, assignments and free text.

Knows where in a text a secret can be; must not know where the text comes from. Most secrets are recognized by a name (``--token=…``), the
others by the form of the value (a JSON web token, a URL with a password); :mod:`eidos.redact.secret_names` has both as data. In doubt a
value is redacted, with three exceptions that people look for in a configuration: a path to a secret, a switch
(``--client-cert-auth=true``) and a reference to a variable. A redacted value is replaced by
:data:`~eidos.model.measurement.WITHHELD`; names, users and hosts stay. Redaction is idempotent.

>>> redact_command_line(["kubelet", "--token", "s3cret", "--tls-private-key-file=/etc/key.pem", "url=https://bob:pw@example.com/x"])
(['kubelet', '--token', '<withheld>', '--tls-private-key-file=/etc/key.pem', 'url=https://bob:<withheld>@example.com/x'], 2)
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.secret_names import (
    SHORTEST_TOKEN,
    WEBHOOK_PREFIXES,
    is_harmless_value,
    is_key_name,
    is_secret_name,
    looks_like_token,
    looks_random,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.model.measurement import Reading

#: Flags that take a secret although their name does not say so, by program; with a star the value is attached to the flag.
_SECRET_FLAGS = {
    "sshpass": ("-p", "-p*"),
    "curl": ("-u", "-u*", "--user", "-U", "--proxy-user"),
    "openssl": ("-k", "-K", "-passin", "-passout"),
    "ipmitool": ("-P", "-P*"),
    "ldapsearch": ("-w", "-w*"),
    "smbclient": ("-U", "-U*"),
    "etcdctl": ("--user",),
    "login": ("-p", "-p*"),  # docker login, helm registry login
    **dict.fromkeys(("redis-cli", "redis-server"), ("-a",)),
    **dict.fromkeys(("mysql", "mysqladmin", "mysqldump", "mariadb"), ("-p*",)),
}

#: Words between "Authorization:" and the secret (RFC 9110, 11.4); after the first two a secret is expected even without that header.
_AUTH_SCHEMES = ("bearer", "basic", "digest", "negotiate", "token", "apikey")

_BLANKS = " \t\r\n"
_QUOTES = "\"'`"
_BREAKS = ",;&?#|(){}[]"
_SEPARATORS = frozenset(_BLANKS + _QUOTES + _BREAKS)
_ESCAPED = ('\\"', "\\'")

#: A word with one of these before its "=" is more than one assignment.
_NOT_IN_NAMES = _SEPARATORS | frozenset("/:")

#: "user:x@y" holds no secret when it begins or ends like this: a digest of an image, an address, an instance of a unit.
_NOT_USERS = ("mailto", "sip", "acct")
_UNIT_SUFFIXES = (".service", ".socket", ".mount", ".target", ".slice", ".scope", ".device", ".timer", ".path", ".swap")
_DIGEST_PREFIXES = ("sha256:", "sha512:")

#: Assignments inside each other, as in ``--env=NAME=a=b``; what is nested more deeply is withheld.
_ASSIGNMENT_DEPTH = 32


def redact_value(name: str, value: Reading) -> tuple[Reading, bool]:
    """``value`` of ``name``, redacted, and whether anything was redacted.

    Under a secret's name all of the value is redacted; of a URL only the password and secrets in its query; of a list of assignments
    only the secret ones.

    >>> redact_value("rootflags", "vers=3.0,password=x,ro")
    ('vers=3.0,password=<withheld>,ro', True)
    """
    if not isinstance(value, str):
        hidden = not isinstance(value, bool) and is_secret_name(name)
        return (WITHHELD, True) if hidden else (value, False)
    clean, count = _redact_named(name, value)
    return clean, count > 0


def _redact_named(name: str, value: str) -> tuple[str, int]:
    if is_secret_name(name) or (is_key_name(name) and looks_random(value)):
        return _redact_unless_harmless(value)
    return redact_text(value)


def redact_command_line(words: Sequence[str]) -> tuple[list[str], int]:
    """``words`` of a command line (a program and its arguments, kernel parameters), redacted, and the number of secrets.

    After a flag with a secret's name the next word is redacted. A word with blanks in it is treated as a script.
    """
    clean: list[str] = []
    total = 0
    flags: tuple[str, ...] = ()
    expected = False
    for word in words:
        name, equals, value = word.partition("=")
        count = 0
        if expected and not (word.startswith("--") or (word.startswith("-") and is_secret_name(word))):
            expected = False
            word, count = _redact_unless_harmless(word)
        elif equals and name.strip("-") and _NOT_IN_NAMES.isdisjoint(name):
            expected = False
            shown, count = _redact_unless_harmless(value) if name in flags else _redact_named(name, value)
            word = f"{name}={shown}"
        else:
            flags = _SECRET_FLAGS.get(word.rpartition("/")[2], flags)
            glued = _redact_attached(word, flags)
            expected = not glued and (word in flags or (word.startswith("-") and " " not in word and is_secret_name(word)))
            if not expected:
                word, count = glued or redact_text(word)
        clean.append(word)
        total += count
    return clean, total


def redact_text(text: str) -> tuple[str, int]:
    """``text`` (a line of a log, a script, a value), redacted, and the number of secrets.

    >>> redact_text('curl -H "Authorization: Bearer abc" https://example.com/?id=1&token=t')
    ('curl -H "Authorization: Bearer <withheld>" https://example.com/?id=1&token=<withheld>', 2)
    """
    if "-----BEGIN" in text and "PRIVATE KEY" in text:
        return WITHHELD, 1
    text, count = _redact_urls(text)
    scan = _Scanner()
    at = 0
    while at < len(text):
        c = text[at]
        escaped = c == "\\" and text[at + 1 : at + 2] in ('"', "'")
        if escaped:
            scan.out.append(c)
            at += 1
            c = text[at]
        if c in _QUOTES and scan.opens_value(c, escaped):
            end = _end_of_quote(text, at, escaped)
            scan.add_quoted(c, escaped, text[at + 1 : end])
            at = end
        elif c in _SEPARATORS:
            scan.add_separator(c, escaped)
            at += 1
        else:
            end = at + 1
            while end < len(text) and text[end] not in _SEPARATORS and text[end : end + 2] not in _ESCAPED:
                end += 1
            scan.add_word(text[at:end])
            at = end
    return "".join(scan.out), count + scan.count


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

    def __init__(self) -> None:
        self.out: list[str] = []
        self.count = 0
        self.expected = ""
        self._after_label = False
        self._flags: tuple[str, ...] = ()
        self._open_quotes = ["", ""]  # the quote that is open, and the escaped one

    def opens_value(self, quote: str, escaped: bool) -> bool:
        """Whether a quote opens the expected value: not when it closes the flag or the label itself (``["--token", "x"]``)."""
        return self.expected == "value" or (bool(self.expected) and quote != self._open_quotes[escaped])

    def add_separator(self, c: str, escaped: bool) -> None:
        if c in _QUOTES:
            if c == self._open_quotes[escaped]:
                self._open_quotes[escaped] = ""
                self.expected += "-quoted" if self.expected == "flag" else ""
            else:
                self._open_quotes[escaped] = self._open_quotes[escaped] or c
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
        self._put(*_redact_unless_harmless(inside))

    def add_word(self, word: str) -> None:
        expected, self.expected = self.expected, ""
        label, self._after_label = self._after_label, False
        if word in ("=", ":", "=>") and (label or expected):
            self.expected = "label"
            self._put(word)
        elif expected and word.lower() in _AUTH_SCHEMES:
            self.expected = expected
            self._put(word)
        elif expected == "label" or (expected[:4] == "flag" and not word.startswith("-")) or (expected == "scheme" and len(word) >= 16):
            self._put(*_redact_unless_harmless(word))
        else:
            self._start(word)

    def _start(self, word: str) -> None:
        """Add a word that nothing before it announced."""
        name, equals, value = word.partition("=")
        if equals and name and not is_secret_name(name.partition(":")[0] if ":" in name else ""):
            if value and name in self._flags:
                shown, count = _redact_unless_harmless(value)
                self._put(f"{name}={shown}", count)
            elif value:
                self._put(*_redact_assignment(name, value))
            else:
                self.expected = "value" if is_secret_name(name) else ""
                self._put(word)
            return
        self._flags = _SECRET_FLAGS.get(word.rpartition("/")[2], self._flags)
        glued = _redact_attached(word, self._flags)
        if glued:
            self._put(*glued)
            return
        if word.startswith("-") and (word in self._flags or is_secret_name(word)):
            self.expected = "flag"
        elif word.endswith(":") and is_secret_name(word):
            self.expected = "label"
        elif word.lower() in _AUTH_SCHEMES[:2]:
            self.expected = "scheme"
        elif is_secret_name(word) and ":" not in word and "@" not in word:
            self._after_label = True
        else:
            self._put(*_redact_by_form(word))
            return
        self._put(word)

    def _put(self, text: str, count: int = 0) -> None:
        self.out.append(text)
        self.count += count


def _redact_unless_harmless(value: str) -> tuple[str, int]:
    return (value, 0) if is_harmless_value(value) else (WITHHELD, 1)


def _redact_assignment(name: str, value: str) -> tuple[str, int]:
    """``name=value`` where the value has no separators; it may be an assignment itself (``--env=TOKEN=x``)."""
    names = [name]
    while not (is_secret_name(name) or (is_key_name(name) and looks_random(value))):
        inner, equals, rest = value.partition("=")
        if not (equals and inner and rest):
            shown, count = _redact_by_form(value)
            break
        if len(names) == _ASSIGNMENT_DEPTH:
            shown, count = WITHHELD, 1
            break
        name, value = inner, rest
        names.append(name)
    else:
        shown, count = _redact_unless_harmless(value)
    return "=".join((*names, shown)), count


def _redact_attached(word: str, flags: tuple[str, ...]) -> tuple[str, int] | None:
    for flag in flags:
        if flag.endswith("*") and word.startswith(flag[:-1]) and len(word) > len(flag) - 1:
            shown, count = _redact_unless_harmless(word[len(flag) - 1 :])
            return flag[:-1] + shown, count
    return None


def _redact_by_form(word: str) -> tuple[str, int]:
    """A word without a name: ``user:password@host``, ``label:secret``, or something that looks like a token."""
    if word.startswith("//"):  # a share: //user:password@host/name
        slashes = len(word) - len(word.lstrip("/"))
        slashes -= slashes % 2
        shown, count = _redact_by_form(word[slashes:])
        return "/" * slashes + shown, count
    name, colon, rest = word.partition(":")
    user, at, host = rest.rpartition("@")
    if at and name and user and "/" not in name + user and not host.startswith(_DIGEST_PREFIXES) and not word.endswith(_UNIT_SUFFIXES):
        if name.lower() not in _NOT_USERS:
            public = f"{name}:{user.partition(':')[0]}" if name == "iscsi" and ":" in user else name
            shown, count = _redact_unless_harmless(word[len(public) + 1 : -len(host) - 1])
            return f"{public}:{shown}@{host}", count
    elif colon and is_secret_name(name) and not rest.startswith("//") and not (rest.isdigit() and len(rest) <= 5):
        shown, count = _redact_unless_harmless(rest)
        return f"{name}:{shown}", count
    return _redact_tokens(word, ":/@=")


def _redact_tokens(word: str, separators: str) -> tuple[str, int]:
    """Redact the parts between ``separators`` that look like tokens."""
    if len(word) < SHORTEST_TOKEN:
        return word, 0
    if not separators:
        return (WITHHELD, 1) if looks_like_token(word) else (word, 0)
    parts = [_redact_tokens(part, separators[1:]) for part in word.split(separators[0])]
    return separators[0].join(part for part, _ in parts), sum(count for _, count in parts)


def _redact_urls(text: str) -> tuple[str, int]:
    """Redact passwords of ``scheme://user:password@host`` (RFC 3986, 3.2.1), users that look like tokens, and paths of webhooks."""
    begin, *rest = text.split("://")
    out, count = [begin], 0
    for part in rest:
        end = next((i for i, c in enumerate(part) if c in _BLANKS + _QUOTES), len(part))
        stop = next((i for i, c in enumerate(part[:end]) if c in "/?#"), end)
        port = part[:stop].rpartition(":")[2] if ":" in part[:stop] else "0"
        # A port has no letters: what looks like one is a password with an unescaped slash or the like.
        at = part.rfind("@", 0, stop if port.isdigit() or "@" in part[:stop] or port.endswith("]") else end)
        user, colon, password = part[: max(at, 0)].partition(":")
        hook = next((start for start in WEBHOOK_PREFIXES if part.startswith(start)), "")
        if hook and not is_harmless_value(part[len(hook) : end]):
            part, count = f"{hook}{WITHHELD}{part[end:]}", count + 1
        elif colon and not is_harmless_value(password):
            part, count = f"{user}:{WITHHELD}{part[at:]}", count + 1
        elif at > 0 and not colon and (looks_like_token(user) or looks_random(user)):
            part, count = f"{WITHHELD}{part[at:]}", count + 1
        out.append(part)
    return "://".join(out), count
