"""What the names and the shapes of secrets are, as data and three questions.

Knows spellings of names and prefixes of well-known tokens; must not know texts and command lines: :mod:`eidos.redact.secrets_in_text`
takes those apart.
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: A word of a name that ends like one of these makes it a secret's name.
_ENDINGS = (
    *("password", "passwords", "passwd", "passphrase", "secret", "secrets", "token", "tokens"),
    *("credential", "credentials", "apikey", "apikeys", "privatekey", "accesskey", "authkey", "secretkey"),
)

#: So does a word that is one of these.
_WORDS = _set("bearer cookie creds psk pwd pw rootpw hostpw jwt cifspass requirepass masterauth dbpass userpass")

#: So does a last word that is one of these: ``--registry-auth``, not ``--auth-mode``; ``passin``, not PassEnvironment.
_LAST = _set("auth authorization pass passin passout")

#: So do these words before "key" or "keys".
_KEYS = _set(
    "access account admin api app application auth client consumer crypt deploy encryption fastopen hmac host ingest integration"
    " license luks master ngc private registration rss secret security service session shared signing ssh storage subscription"
    " wireguard write"
)

#: A name that ends so speaks about a secret and holds none.
_ABOUT = _set(
    "alg algorithm algorithms audience audiences backend burst cache cert cmd command count dir directory duration enabled"
    " encryption endpoint env exp expiration expiry file files folder format helper interval issuer kind kubeconfig length lifetime"
    " limit mode name namespace path paths period plugin policy port provider providers qps ref refs review reviews rotation server"
    " size sock socket store timeout ttl type types version webhook"
)

#: A name with one of these counts something: ``--max-num-batched-tokens``.
_COUNTING = _set("max maximum min minimum num number")

#: Values that are switches, and so no secrets.
_SWITCHES = _set("true false yes no on off none null nil enabled disabled enable disable 0 1")

#: Where paths begin. Not with any slash: base64 begins with one now and then.
_TOP = _set("bin boot credentials data dev etc home host lib lib64 media mnt nix opt proc root run sbin secrets snap srv sys tmp usr var")
_PATHS = ("./", "../", "~/", "%d/", "%h/", "%t/", "file:/", "@/", "$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/")

#: What tokens of well-known issuers begin with, and how long they are at least.
_PREFIXES = {
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "ASIA", "AGE-SECRET-KEY-"), 20),
    **dict.fromkeys(("glpat-", "gldt-", "glrt-", "xoxb-", "xoxp-", "xoxa-", "xapp-", "dckr_pat_", "dckr_oat_", "npm_", "pypi-"), 16),
    **dict.fromkeys(("nvapi-", "hf_", "sk-", "sk_live_", "rk_live_", "hvs.", "hvb.", "AIza", "ya29."), 20),
}


#: Where the URLs of webhooks begin whose path is all that one needs to use them.
WEBHOOKS = ("hooks.slack.com/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/")


def is_secret_name(name: str) -> bool:
    """Whether ``name`` is one under which a secret is kept: a flag, a variable, a key, in any of the usual spellings.

    >>> [is_secret_name(name) for name in ("--token", "AWS_SECRET_ACCESS_KEY", "SetCredential", "--token-ttl", "KeyringMode")]
    [True, True, True, False, False]
    """
    words = _words(name)
    if not words or words[-1] in _ABOUT or not _COUNTING.isdisjoint(words):
        return False
    return (
        words[-1] in _LAST
        or any(word.endswith(_ENDINGS) or word in _WORDS for word in words)
        or any(word in ("key", "keys") and before in _KEYS for before, word in zip(words, words[1:]))
    )


def is_some_key(name: str) -> bool:
    """Whether ``name`` is that of a key or a signature of whatever kind; its value tells the rest (:func:`looks_random`)."""
    return _words(name)[-1:] in (["key"], ["signature"], ["sig"])


def is_harmless(value: str) -> bool:
    """Whether ``value`` gives nothing away even under a secret's name: a switch, a path, a reference to a variable."""
    value = value.strip("\"'")
    if not value or value.lower() in _SWITCHES or value == WITHHELD or value.startswith(_PATHS):
        return True
    if value.startswith("/"):
        return value[1:].partition("/")[0] in _TOP
    if value.startswith("$"):
        inner = value[2:-1] if (value[1:2], value[-1:]) == ("{", "}") else value[1:]
        return inner.replace("_", "a").isalnum() or (value.startswith("$(") and value.find(")") == len(value) - 1)
    return len(value) == 2 and value[0] == "%"


def looks_secret(value: str) -> bool:
    """Whether ``value`` has the form of a token that well-known issuers hand out.

    >>> looks_secret("nvapi-0123456789abcdefghij"), looks_secret("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl"), looks_secret("5.15.0-1024-aws")
    (True, True, False)
    """
    if value.startswith("eyJ"):
        return len(value) > 20 and value.count(".") >= 2
    for prefix, length in _PREFIXES.items():
        if value.startswith(prefix):
            rest = value[len(prefix) :]
            return len(value) >= length and _is_plain(rest) and any(c.isdigit() for c in rest)
    # A bootstrap token of Kubernetes: id and secret.
    return len(value) == 23 and value[6] == "." and _is_lower(value[:6] + value[7:]) and any(c.isdigit() for c in value)


def looks_random(value: str) -> bool:
    """Whether ``value`` is long, of letters and digits mixed, without blanks: as keys are written in hexadecimal or base64."""
    return len(value) >= 20 and _is_plain(value.rstrip("=")) and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.translate({ord(c): "a" for c in "+/_-.%"}).isalnum()


def _is_lower(text: str) -> bool:
    return text.isascii() and text.isalnum() and text == text.lower()


def _words(name: str) -> list[str]:
    """The words of a name in lower case: parted by whatever is no letter and no digit, and where camel case has its humps."""
    words: list[list[str]] = [[]]
    for i, c in enumerate(name):
        before, after = name[i - 1 : i], name[i + 1 : i + 2]
        if not c.isalnum():
            words.append([])
        elif c.isupper() and (before.islower() or before.isdigit() or (before.isupper() and after.islower())):
            words.append([c.lower()])
        else:
            words[-1].append(c.lower())
    stripped = ("".join(word).rstrip("0123456789") for word in words)
    return [word for word in stripped if word]
