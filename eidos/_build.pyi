COMMIT: str
DATA_DIGEST: str
COLLECTORS: tuple[str, ...]
