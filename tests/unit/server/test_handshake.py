"""Which subprotocol is confirmed."""

from cozy_server.handshake import chosen_protocol


def test_a_key_is_never_the_protocol_that_is_confirmed() -> None:
    assert chosen_protocol(["openai-insecure-api-key.cz_1_2", "realtime"]) == "realtime"
    assert chosen_protocol(["openai-insecure-api-key.cz_1_2", "openai-agents-sdk.1.0"]) is None
    assert chosen_protocol([]) is None
