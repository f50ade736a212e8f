"""Signs the statement of a bundle and verifies signatures, with the programs that hosts have.

``key_forms``           which kind of key a file or a word is
``key_strength``        which keys are too weak
``signing_tools``       how the programs are run
``openssh_signature``   ``ssh-keygen -Y`` (SSHSIG)
``openpgp_signature``   ``gpg``, detached and armored
``openssl_signature``   ``openssl`` and ``cosign`` keys, in the format of Sigstore bundles
``signature_check``     which signatures are valid, and by which trusted key
``file_verification``   the signature beside any other file
``signature_policy``    who must have signed, and what the statement must say

Knows signatures of bytes, and what a statement says; must not know bundles, folders or archives. Nothing here computes a signature:
that is left to programs which people review for it.
"""

from __future__ import annotations
