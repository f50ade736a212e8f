"""Command lines, assignments and lines of text without their secrets.

Knows where in a text a secret can stand; must not know where the text comes from. A name tells most (``--token=…``), the form
of a value the rest (a JSON web token, a URL with a password); :mod:`eidos.redact.secret_names` has both as data. When in doubt it
withholds, with three exceptions, because they are what one looks for in a configuration: a path to a secret, a switch
(``--client-cert-auth=true``) and a reference to a variable are none. What is withheld becomes
:data:`~eidos.model.measurement.WITHHELD`; names, users and hosts stay. Withholding twice changes nothing.

>>> withhold_words(["kubelet", "--token", "s3cret", "--tls-private-key-file=/etc/key.pem", "url=https://bob:pw@example.com/x"])
(['kubelet', '--token', '<withheld>', '--tls-private-key-file=/etc/key.pem', 'url=https://bob:<withheld>@example.com/x'], 2)
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD
from eidos.redact.secret_names import WEBHOOKS, is_harmless, is_secret_name, is_some_key, looks_random, looks_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from eidos.model.measurement import Reading

__all__ = ["is_secret_name", "withhold_text", "withhold_value", "withhold_words"]

#: Flags that carry a secret and do not say so, by program; with a star the value is glued to the flag.
_FLAGS = {
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

#: Words between "Authorization:" and the secret (RFC 9110, 11.4); the first two tell even when that is missing.
_SCHEMES = ("bearer", "basic", "digest", "negotiate", "token", "apikey")

_BLANKS = " \t\r\n"
_QUOTES = "\"'`"
_BREAKS = ",;&?#|(){}[]"
_SEPARATORS = frozenset(_BLANKS + _QUOTES + _BREAKS)
_ESCAPED = ('\\"', "\\'")

#: A word with one of these before its "=" is more than one assignment.
_NO_NAME = _SEPARATORS | frozenset("/:")

#: "user:x@y" is none of a secret when it begins or ends so: a digest of an image, an address, an instance of a unit.
_NO_USER = ("mailto", "sip", "acct")
_UNITS = (".service", ".socket", ".mount", ".target", ".slice", ".scope", ".device", ".timer", ".path", ".swap")
_DIGESTS = ("sha256:", "sha512:")


def withhold_value(name: str, value: Reading) -> tuple[Reading, bool]:
    """``value`` of ``name`` without what is secret in it, and whether there was something.

    The whole value goes when the name is a secret's; of a URL only the password and secrets in its query; of a list of
    assignments only the secret ones.

    >>> withhold_value("rootflags", "vers=3.0,password=x,ro")
    ('vers=3.0,password=<withheld>,ro', True)
    """
    if not isinstance(value, str):
        hidden = not isinstance(value, bool) and is_secret_name(name)
        return (WITHHELD, True) if hidden else (value, False)
    clean, count = _value(name, value)
    return clean, count > 0


def _value(name: str, value: str) -> tuple[str, int]:
    if is_secret_name(name) or (is_some_key(name) and looks_random(value)):
        return _hidden(value)
    return withhold_text(value)


def withhold_words(words: Sequence[str]) -> tuple[list[str], int]:
    """``words`` of a command line (a program and its arguments, kernel parameters) without their secrets, and how many there were.

    A flag with a secret's name takes the word after it along. A word with blanks in it is read as a script.
    """
    clean: list[str] = []
    total = 0
    flags: tuple[str, ...] = ()
    expected = False
    for word in words:
        name, equals, value = word.partition("=")
        found = 0
        if expected and not (word.startswith("--") or (word.startswith("-") and is_secret_name(word))):
            expected = False
            word, found = _hidden(word)
        elif equals and name.strip("-") and _NO_NAME.isdisjoint(name):
            expected = False
            shown, found = _hidden(value) if name in flags else _value(name, value)
            word = f"{name}={shown}"
        else:
            flags = _FLAGS.get(word.rpartition("/")[2], flags)
            glued = _glued(word, flags)
            expected = not glued and (word in flags or (word.startswith("-") and " " not in word and is_secret_name(word)))
            if not expected:
                word, found = glued or withhold_text(word)
        clean.append(word)
        total += found
    return clean, total


def withhold_text(text: str) -> tuple[str, int]:
    """``text`` (a line of a log, a script, a value) without its secrets, and how many there were.

    >>> withhold_text('curl -H "Authorization: Bearer abc" https://example.com/?id=1&token=t')
    ('curl -H "Authorization: Bearer <withheld>" https://example.com/?id=1&token=<withheld>', 2)
    """
    if "-----BEGIN" in text and "PRIVATE KEY" in text:
        return WITHHELD, 1
    text, count = _without_passwords_in_urls(text)
    scan = _Scan()
    at = 0
    while at < len(text):
        c = text[at]
        escaped = c == "\\" and text[at + 1 : at + 2] in ('"', "'")
        if escaped:
            scan.out.append(c)
            at += 1
            c = text[at]
        if c in _QUOTES and scan.takes(c, escaped):
            end = _end_of_quote(text, at, escaped)
            scan.quoted(c, escaped, text[at + 1 : end])
            at = end
        elif c in _SEPARATORS:
            scan.separator(c, escaped)
            at += 1
        else:
            end = at + 1
            while end < len(text) and text[end] not in _SEPARATORS and text[end : end + 2] not in _ESCAPED:
                end += 1
            scan.piece(text[at:end])
            at = end
    return "".join(scan.out), count + scan.count


def _end_of_quote(text: str, begin: int, escaped: bool) -> int:
    """Where what was opened at ``begin`` ends: at the same quote, escaped as the first one was or not; else with the text."""
    quote = text[begin]
    end = begin + 1
    while end < len(text):
        if escaped and text[end : end + 2] == "\\" + quote:
            return end
        if not escaped and text[end] == quote:
            return end
        end += 2 if text[end] == "\\" and not escaped else 1
    return len(text)


class _Scan:
    """Goes over the pieces of a text and remembers what the next one may be: after a flag, after a label, after "Bearer"."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.count = 0
        self.expected = ""
        self._label = False
        self._flags: tuple[str, ...] = ()
        self._inside = ["", ""]  # the quote that is open, and the escaped one

    def takes(self, quote: str, escaped: bool) -> bool:
        """Whether a quote opens what is expected: it does not when it closes the flag or the label itself (``["--token", "x"]``)."""
        return self.expected == "value" or (bool(self.expected) and quote != self._inside[escaped])

    def separator(self, c: str, escaped: bool) -> None:
        if c in _QUOTES:
            if c == self._inside[escaped]:
                self._inside[escaped] = ""
                self.expected += "-quoted" if self.expected == "flag" else ""
            else:
                self._inside[escaped] = self._inside[escaped] or c
        elif (c in _BREAKS and self.expected != "flag-quoted") or (self.expected == "value" and c in _BLANKS):
            self.expected, self._label = "", False
        self.out.append(c)

    def quoted(self, quote: str, escaped: bool, inside: str) -> None:
        self._inside[escaped] = quote
        self.out.append(quote)
        if self.expected.startswith("flag") and inside.startswith("--"):
            self.expected = ""
            self.piece(inside)
            return
        self.expected = ""
        self._put(*_hidden(inside))

    def piece(self, piece: str) -> None:
        expected, self.expected = self.expected, ""
        label, self._label = self._label, False
        if piece in ("=", ":", "=>") and (label or expected):
            self.expected = "label"
            self._put(piece)
        elif expected and piece.lower() in _SCHEMES:
            self.expected = expected
            self._put(piece)
        elif expected == "label" or (expected[:4] == "flag" and not piece.startswith("-")) or (expected == "scheme" and len(piece) >= 16):
            self._put(*_hidden(piece))
        else:
            self._open(piece)

    def _open(self, piece: str) -> None:
        """A piece of which nothing is known but itself."""
        name, equals, value = piece.partition("=")
        if equals and name and not is_secret_name(name.partition(":")[0] if ":" in name else ""):
            if value and name in self._flags:
                shown, found = _hidden(value)
                self._put(f"{name}={shown}", found)
            elif value:
                self._put(*_assigned(name, value))
            else:
                self.expected = "value" if is_secret_name(name) else ""
                self._put(piece)
            return
        self._flags = _FLAGS.get(piece.rpartition("/")[2], self._flags)
        glued = _glued(piece, self._flags)
        if glued:
            self._put(*glued)
            return
        if piece.startswith("-") and (piece in self._flags or is_secret_name(piece)):
            self.expected = "flag"
        elif piece.endswith(":") and is_secret_name(piece):
            self.expected = "label"
        elif piece.lower() in _SCHEMES[:2]:
            self.expected = "scheme"
        elif is_secret_name(piece) and ":" not in piece and "@" not in piece:
            self._label = True
        else:
            self._put(*_shaped(piece))
            return
        self._put(piece)

    def _put(self, text: str, count: int = 0) -> None:
        self.out.append(text)
        self.count += count


def _hidden(value: str) -> tuple[str, int]:
    return (value, 0) if is_harmless(value) else (WITHHELD, 1)


def _assigned(name: str, value: str) -> tuple[str, int]:
    """``name=value`` where the value has no separators in it; it may be an assignment itself (``--env=TOKEN=x``)."""
    names = [name]
    while not (is_secret_name(name) or (is_some_key(name) and looks_random(value))):
        inner, equals, rest = value.partition("=")
        if not (equals and inner and rest):
            shown, found = _shaped(value)
            break
        name, value = inner, rest
        names.append(name)
    else:
        shown, found = _hidden(value)
    return "=".join((*names, shown)), found


def _glued(word: str, flags: tuple[str, ...]) -> tuple[str, int] | None:
    for flag in flags:
        if flag.endswith("*") and word.startswith(flag[:-1]) and len(word) > len(flag) - 1:
            shown, found = _hidden(word[len(flag) - 1 :])
            return flag[:-1] + shown, found
    return None


def _shaped(piece: str) -> tuple[str, int]:
    """A piece whose name says nothing: ``user:password@host``, ``label:secret``, or something that looks like a token."""
    if piece.startswith("//"):  # a share: //user:password@host/name
        shown, found = _shaped(piece[2:])
        return f"//{shown}", found
    name, colon, rest = piece.partition(":")
    user, at, host = rest.rpartition("@")
    if at and name and user and "/" not in name + user and not host.startswith(_DIGESTS) and not piece.endswith(_UNITS):
        if name.lower() not in _NO_USER:
            keep = f"{name}:{user.partition(':')[0]}" if name == "iscsi" and ":" in user else name
            shown, found = _hidden(piece[len(keep) + 1 : -len(host) - 1])
            return f"{keep}:{shown}@{host}", found
    elif colon and is_secret_name(name) and not rest.startswith("//") and not (rest.isdigit() and len(rest) <= 5):
        shown, found = _hidden(rest)
        return f"{name}:{shown}", found
    found = 0
    parts = piece
    for c in ":/@=":
        parts = parts.replace(c, " ")
    for part in parts.split():
        if looks_secret(part):
            piece, found = piece.replace(part, WITHHELD), found + 1
    return piece, found


def _without_passwords_in_urls(text: str) -> tuple[str, int]:
    """Without the passwords of ``scheme://user:password@host`` (RFC 3986, 3.2.1), users that look like tokens, and paths of webhooks."""
    begin, *rest = text.split("://")
    out, count = [begin], 0
    for part in rest:
        end = next((i for i, c in enumerate(part) if c in _BLANKS + _QUOTES), len(part))
        stop = next((i for i, c in enumerate(part[:end]) if c in "/?#"), end)
        port = part[:stop].rpartition(":")[2] if ":" in part[:stop] else "0"
        # No port has letters: then a slash or the like stands in a password that somebody forgot to escape.
        at = part.rfind("@", 0, stop if port.isdigit() or "@" in part[:stop] or port.endswith("]") else end)
        user, colon, password = part[: max(at, 0)].partition(":")
        hook = next((start for start in WEBHOOKS if part.startswith(start)), "")
        if hook and not is_harmless(part[len(hook) : end]):
            part, count = f"{hook}{WITHHELD}{part[end:]}", count + 1
        elif colon and not is_harmless(password):
            part, count = f"{user}:{WITHHELD}{part[at:]}", count + 1
        elif at > 0 and not colon and (looks_secret(user) or looks_random(user)):
            part, count = f"{WITHHELD}{part[at:]}", count + 1
        out.append(part)
    return "://".join(out), count
