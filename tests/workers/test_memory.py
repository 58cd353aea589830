from bayesr.workers import memory


def test_memory_is_released_after_every_sixteenth_tile(monkeypatch):
    calls = []
    monkeypatch.setattr(memory, "_trim", lambda: calls.append)
    one, other = memory.MemoryReleaser(), memory.MemoryReleaser()
    for tile in range(1, 41):
        one.tile_done()
        assert len(calls) == tile // 16
    other.tile_done()
    assert calls == [0, 0], "every process and every run counts its own tiles"


def test_systems_that_cannot_release_memory_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "_trim", lambda: None)
    releaser = memory.MemoryReleaser()
    for _ in range(40):
        releaser.tile_done()


def test_the_real_function_can_be_called():
    releaser = memory.MemoryReleaser()
    for _ in range(32):
        releaser.tile_done()
