COMMIT: str
DATA_DIGEST: str
COLLECTORS: dict[str, str]
DEPLOYERS: list[str]
