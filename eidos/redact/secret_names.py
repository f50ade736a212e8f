"""Credential words in names, the words that follow them in sentences, and tokens of well-known issuers.

Knows spellings of names, words of messages and prefixes of tokens; must not know which names are harmless all the same: lists of those
are data, and :mod:`eidos.redact.harmless_names` reads them.
"""

from __future__ import annotations

from eidos.redact.random_words import cached, word_set

#: A name is a credential's when it has one of these anywhere in one of its words …
_STEMS = ("password", "passwd", "passphrase", "passcode", "passwort", "secret", "token", "credential", "apikey", "cookie", "mnemonic")

#: … or one of these words …
_WORDS = word_set(
    "pw pwd pass psk pin pins key keys auth authn authz authorization bearer jwt creds cred otp totp sig signature dsn wep wpa"
    " community regcode webhook unseal pincode"
)

#: … or a word that ends like this, and is none of the words after it …
_ENDINGS = ("pass", "pw", "pwd", "key", "keys", "psk", "auth", "creds", "pin")
_NO_CREDENTIALS = word_set("bypass compass encompass trespass monkey turkey hockey donkey whiskey journey spin unpin loadpin noauth")

#: … or "code" behind one of these.
_BEFORE_CODE = word_set(
    "access license activation auth backup invite pair pairing pass pin recovery reg registration security unlock verification"
)

#: What may follow "token" or "password" in a sentence, and what only leads to the next word.
FOLLOWERS = word_set(
    "was is are were has had have be been being for of to from in on at by with without and or nor not no as that which this the a"
    " an its must should could cannot can may might will would does did do than then so but file files path type name names value"
    " values field fields option flag flags parameter variable format length size age expired expires expiry invalid missing"
    " required empty absent denied rejected refused failed failure error errors mismatch wrong incorrect unknown unauthorized"
    " unauthenticated found available set unset given provided used authentication authorization authenticator provider plugin"
    " plugins helper source cache request requests response responses service server endpoint review reviews rotation refresh"
    " exchange audience issuer ring management manager store storage policy based login prompt stdin and/or usage id ids pair pairs chain"
    " verification validation retrieval lookup negotiation generation creation decryption encryption fingerprint algorithm algorithms"
    " agent bits data exists exist before after when while because until into credentials manipulation constraints information change"
    " contains immediately input program requires sent specified about bad already still too now only if weak short long"
)

#: What may follow each other before the secret itself: "secret key is x".
CREDENTIALS = word_set("key keys token tokens password passphrase secret code pin auth authorization")

#: What may follow "token:" in a sentence: how the next error begins.
ERRORS = FOLLOWERS - word_set("login admin manager store type name") | word_set(
    "permission reauthentication refreshing connection context deadline timeout expected unexpected unable could please you dial exec"
    " executable open read lookup oauth2 http https eof unmarshal decode parse parsing connect fetch get post status server cannot no"
    " x509 serviceaccounts"
)

#: Prefix of tokens of well-known issuers → their minimum length.
_TOKEN_PREFIXES = {
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "ASIA", "AGE-SECRET-KEY-"), 20),
    **dict.fromkeys(("glpat-", "gldt-", "glrt-", "xoxb-", "xoxp-", "xoxa-", "xapp-", "dckr_pat_", "dckr_oat_", "npm_", "pypi-"), 16),
    **dict.fromkeys(("nvapi-", "hf_", "sk-", "sk_live_", "rk_live_", "hvs.", "hvb.", "AIza", "ya29."), 20),
}

#: The length of the shortest of them.
SHORTEST_TOKEN = min(_TOKEN_PREFIXES.values())

# Names are few and come again: the same variables in every unit, the same flags in every command line.
_answers: dict[str, bool] = {}


def has_credential_word(name: str) -> bool:
    """Whether a word of ``name`` is that of a credential, in any of the usual spellings.

    >>> [has_credential_word(name) for name in ("--token-ttl", "AWS_SECRET_ACCESS_KEY", "bmcpass", "ipmi_pwd", "KeyringMode", "bypass")]
    [True, True, True, True, False, False]
    """
    return cached(_answers, _has_credential_word, name)


def _has_credential_word(name: str) -> bool:
    words = _split_name(name)
    for at, word in enumerate(words):
        if word in _WORDS or any(stem in word for stem in _STEMS):
            return True
        if word.endswith(_ENDINGS) and word not in _NO_CREDENTIALS:
            return True
        if word in ("code", "codes") and at and words[at - 1] in _BEFORE_CODE:
            return True
    # A stem may lie across the boundary of two words: PassWord, api-key, pass_phrase.
    joined = "".join(words)
    return any(stem in joined for stem in ("password", "passphrase", "apikey", "secretkey", "privatekey"))


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
