"""What a worker prints: a log file of bounded size."""

from morphogen.executors.output import MAX_BYTES, Output


def test_a_short_output_is_kept_whole(tmp_path):
    output = Output(tmp_path / "trial" / "log.txt")
    for line in (b"one\n", b"two\n"):
        output.write(line)
    output.close()
    assert b"one\ntwo\n" == (tmp_path / "trial" / "log.txt").read_bytes()
    assert "two" == output.last_line


def test_a_long_output_keeps_its_beginning_and_its_end(tmp_path):
    path = tmp_path / "log.txt"
    output = Output(path)
    written = b"".join(b"line %07d\n" % n for n in range(400_000))
    for at in range(0, len(written), 65_536):
        output.write(written[at : at + 65_536])
        assert path.stat().st_size <= MAX_BYTES // 2
    output.close()
    kept = path.read_bytes()
    assert len(kept) <= MAX_BYTES + 100
    beginning, note, end = kept.partition(b"\n... %d bytes left out ...\n" % (len(written) - MAX_BYTES))
    assert note
    assert written.startswith(beginning)
    assert written.endswith(end)


def test_nothing_printed_leaves_no_file(tmp_path):
    Output(tmp_path / "trial" / "log.txt").close()
    assert [] == list(tmp_path.iterdir())


def test_a_log_begins_anew_and_one_that_cannot_be_written_is_dropped(tmp_path):
    path = tmp_path / "log.txt"
    for text in (b"first attempt\n", b"second\n"):
        output = Output(path)
        output.write(text)
        output.close()
    assert b"second\n" == path.read_bytes()
    output = Output(path / "below a file" / "log.txt")
    output.write(b"dropped")
    output.close()
    assert "dropped" == output.last_line
