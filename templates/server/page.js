<!doctype html><title>eidos</title><style>@{style}</style><script>@{script}</script>
