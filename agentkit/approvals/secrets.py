"""Words that name what may hold secrets, or a way out to the network."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from agentkit.approvals.syntax import Word

_BEFORE = r"(?:^|^-\w+|[/:=,@\"'\s])"
"""A name begins here: also behind ``HEAD:``, ``--file=`` and ``-f``."""
_NAMED = re.compile(
    rf"{_BEFORE}(\.ssh|\.aws|\.gnupg|\.kube|\.docker|\.netrc|\.pgpass|\.git-credentials|\.npmrc"
    r"|\.pypirc|\.env[\w.-]*|id_(rsa|dsa|ecdsa|ed25519)|shadow|gshadow|environ|credentials[\w.-]*"
    r"|\.config/(gh|gcloud)|\.(ba|z)sh_history|\.azure|\.vault-token|\.htpasswd"
    r"|secrets?\.(ya?ml|json|toml|txt)|[\w.-]*\.(pem|key|p12|pfx|kdbx))(?=[/:,\"'\s]|$)|/proc/.*[*?\[]",
    re.IGNORECASE,  # as some file systems are
)
_VARIABLE = re.compile(r"\$\{?\w*(SECRET|TOKEN|PASSW|API_?KEY|CREDENTIAL|PRIVATE_KEY)")
_SPELLED = re.compile(r"\$'[^']*\\[xuU0-7c]")
"""Letters written as numbers: only done to hide a name, or to name what cannot be shown."""
_COMPUTED = re.compile(r"\$\([^)]*\)|`[^`]*`|\$\{[^}]*\}|\$(\w+|[@*#?!$-])")
_CLASS = re.compile(r"\[.*\]")
_BRACES = re.compile(r"\{[^}]*\}")
_PLACES = re.compile(r"[/:=,\s]")
_EXAMPLES = (
    ".ssh", ".aws", ".gnupg", ".kube", ".docker", ".netrc", ".pgpass", ".git-credentials",
    ".npmrc", ".pypirc", ".env", ".env.local", "id_rsa", "id_ed25519", ".bash_history", "a.pem",
    "a.key",
)  # fmt: skip
_NETWORK = re.compile(r"/dev/(tcp|udp)/")


def may_hold_secrets(word: Word) -> bool:
    """Whether a word names what may hold secrets, or is a pattern that may become such a name."""
    text = word.text
    if _NAMED.search(text) or _VARIABLE.search(text) or _SPELLED.search(text):
        return True
    pattern = _BRACES.sub("*", _CLASS.sub("*", _COMPUTED.sub("*", text)))
    if not re.search(r"[*?]", pattern):
        return False
    names = _PLACES.split(re.sub(r"[\"'\\]", "", pattern))
    return any(_may_become(each) for each in names if re.search(r"[*?]", each))


def _may_become(name: str) -> bool:
    """Whether a pattern fits a secret's name; one that begins openly fits no dotted one."""
    if not name.strip("*?."):  # all files, or all with a dot in front
        return name.startswith(".") and name.strip(".") != ""
    return any(
        fnmatchcase(example, name)
        for example in _EXAMPLES
        if name[0] not in "*?" or not example.startswith(".")
    )


def is_network(word: Word) -> bool:
    """Whether it is one of bash's own names for a connection."""
    return _NETWORK.search(word.text) is not None
