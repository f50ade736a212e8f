"""Recognizes secrets by the name of a value and by its form.

Knows spellings of names and prefixes of well-known tokens; must not know texts and command lines: :mod:`eidos.redact.secrets_in_text`
parses those.
"""

from __future__ import annotations

from eidos.model.measurement import WITHHELD


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: A name is a secret's when one of its words ends like this …
_SECRET_SUFFIXES = (
    *("password", "passwords", "passwd", "passphrase", "secret", "secrets", "token", "tokens"),
    *("credential", "credentials", "apikey", "apikeys", "privatekey", "accesskey", "authkey", "secretkey"),
)

#: … or is one of these …
_SECRET_WORDS = _set("bearer cookie creds psk pwd pw rootpw hostpw jwt cifspass requirepass masterauth dbpass userpass")

#: … or when its last word is one of these: ``--registry-auth``, not ``--auth-mode``; ``passin``, not PassEnvironment …
_SECRET_LAST_WORDS = _set("auth authorization pass passin passout")

#: … or when one of these stands before "key" or "keys".
_WORDS_BEFORE_KEY = _set(
    "access account admin api app application auth client consumer crypt deploy encryption fastopen hmac host ingest integration"
    " license luks master ngc private registration rss secret security service session shared signing ssh storage subscription"
    " wireguard write"
)

#: A name with one of these as its last word describes a secret, and its value is none.
_DESCRIPTIVE_LAST_WORDS = _set(
    "alg algorithm algorithms audience audiences backend burst cache cert cmd command count dir directory duration enabled"
    " encryption endpoint env exp expiration expiry file files folder format helper interval issuer kind kubeconfig length lifetime"
    " limit mode name namespace path paths period plugin policy port provider providers qps ref refs review reviews rotation server"
    " size sock socket store timeout ttl type types version webhook"
)

#: A name with one of these words counts something: ``--max-num-batched-tokens``.
_COUNTING_WORDS = _set("max maximum min minimum num number")

#: Values that are switches, not secrets.
_SWITCH_VALUES = _set("true false yes no on off none null nil enabled disabled enable disable 0 1")

#: First components and prefixes of paths. A slash alone is not enough: base64 may begin with one.
_TOP_DIRECTORIES = _set(
    "bin boot credentials data dev etc home host lib lib64 media mnt nix opt proc root run sbin secrets snap srv sys tmp usr var"
)
_PATH_PREFIXES = ("./", "../", "~/", "%d/", "%h/", "%t/", "file:/", "@/", "$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/")

#: Prefix of tokens of well-known issuers → their minimum length.
_TOKEN_PREFIXES = {
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "ASIA", "AGE-SECRET-KEY-"), 20),
    **dict.fromkeys(("glpat-", "gldt-", "glrt-", "xoxb-", "xoxp-", "xoxa-", "xapp-", "dckr_pat_", "dckr_oat_", "npm_", "pypi-"), 16),
    **dict.fromkeys(("nvapi-", "hf_", "sk-", "sk_live_", "rk_live_", "hvs.", "hvb.", "AIza", "ya29."), 20),
}

#: The length of the shortest of them.
SHORTEST_TOKEN = min(_TOKEN_PREFIXES.values())

#: Prefixes of webhook URLs whose path is the secret.
WEBHOOK_PREFIXES = ("hooks.slack.com/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/")


# Names are few and come again: the same variables in every unit, the same flags in every command line.
_secret_names: dict[str, bool] = {}
_CACHE_LIMIT, _CACHED_NAME = 4096, 64


def is_secret_name(name: str) -> bool:
    """Whether the value of ``name`` is a secret: a flag, a variable, a key, in any of the usual spellings.

    >>> [is_secret_name(name) for name in ("--token", "AWS_SECRET_ACCESS_KEY", "SetCredential", "--token-ttl", "KeyringMode")]
    [True, True, True, False, False]
    """
    if len(name) > _CACHED_NAME:
        return _is_secret_name(name)
    is_secret = _secret_names.get(name)
    if is_secret is None:
        if len(_secret_names) >= _CACHE_LIMIT:
            _secret_names.clear()
        is_secret = _secret_names[name] = _is_secret_name(name)
    return is_secret


def _is_secret_name(name: str) -> bool:
    words = _split_name(name)
    if not words or words[-1] in _DESCRIPTIVE_LAST_WORDS or not _COUNTING_WORDS.isdisjoint(words):
        return False
    return (
        words[-1] in _SECRET_LAST_WORDS
        or any(word.endswith(_SECRET_SUFFIXES) or word in _SECRET_WORDS for word in words)
        or any(word in ("key", "keys") and before in _WORDS_BEFORE_KEY for before, word in zip(words, words[1:]))
    )


def is_key_name(name: str) -> bool:
    """Whether ``name`` is that of a key or a signature of any kind; the value decides (:func:`looks_random`)."""
    return _split_name(name)[-1:] in (["key"], ["signature"], ["sig"])


def is_harmless_value(value: str) -> bool:
    """Whether ``value`` is no secret even under a secret's name: a switch, a path, a reference to a variable."""
    value = value.strip("\"'")
    if not value or value.lower() in _SWITCH_VALUES or value == WITHHELD or value.startswith(_PATH_PREFIXES):
        return True
    if value.startswith("/"):
        return value[1:].partition("/")[0] in _TOP_DIRECTORIES
    if value.startswith("$"):
        inner = value[2:-1] if (value[1:2], value[-1:]) == ("{", "}") else value[1:]
        return inner.replace("_", "a").isalnum() or (value.startswith("$(") and value.find(")") == len(value) - 1)
    return len(value) == 2 and value[0] == "%"


def looks_like_token(value: str) -> bool:
    """Whether ``value`` has the form of a token of a well-known issuer.

    >>> [looks_like_token(text) for text in ("nvapi-0123456789abcdefghij", "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", "5.15.0-1024-aws")]
    [True, True, False]
    """
    if len(value) < SHORTEST_TOKEN:
        return False
    if value.startswith("eyJ"):
        return len(value) > 20 and value.count(".") >= 2
    for prefix, length in _TOKEN_PREFIXES.items():
        if value.startswith(prefix):
            rest = value[len(prefix) :]
            return len(value) >= length and _is_plain(rest) and any(c.isdigit() for c in rest)
    # A bootstrap token of Kubernetes: id and secret.
    return len(value) == 23 and value[6] == "." and _is_lower(value[:6] + value[7:]) and any(c.isdigit() for c in value)


def looks_random(value: str) -> bool:
    """Whether ``value`` is long and of mixed letters and digits without blanks, as keys in hexadecimal or base64 are."""
    return len(value) >= 20 and _is_plain(value.rstrip("=")) and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.translate({ord(c): "a" for c in "+/_-.%"}).isalnum()


def _is_lower(text: str) -> bool:
    return text.isascii() and text.isalnum() and text == text.lower()


def _split_name(name: str) -> list[str]:
    """The words of a name in lower case, split at every character that is no letter or digit and at the humps of camel case."""
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
