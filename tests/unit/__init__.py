"""Single modules, in the test's own process: no Redis, keeper, daemon or engine. The folders mirror ``pycloud/``."""
