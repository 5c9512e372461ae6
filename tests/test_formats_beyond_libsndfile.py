"""m4a, webm, wma, amr, the sound of videos: through FFmpeg, whole, in time, and never taken for something else."""

import sys
from pathlib import Path

import numpy as np
import pytest
from encoders import alignment, encode, sweep
from sounds import sound, write

from asrx.recognizer.audio import SAMPLE_RATE, AudioError, Limits, load

pytest.importorskip("av", reason="PyAV is not installed: pip install 'asrx[formats]'")

# codec, container, rate in Hz, delay in samples at 16 kHz that the container does not tell
MATRIX = [
    ("aac", "ipod", 44_100, 0), ("aac", "mp4", 16_000, 0), ("aac", "mp4", 48_000, 0), ("aac", "matroska", 44_100, 0), ("aac", "adts", 44_100, 372),
    ("aac", "mpegts", 44_100, 372), ("aac", "flv", 44_100, 372), ("alac", "ipod", 16_000, 0), ("alac", "ipod", 44_100, 0), ("alac", "caf", 44_100, 0),
    ("libopus", "webm", 48_000, 0), ("libopus", "mp4", 48_000, 0), ("libopus", "ogg", 48_000, 0), ("libopus", "matroska", 48_000, 0),
    ("libmp3lame", "mp4", 44_100, 0), ("libmp3lame", "mp3", 22_050, 0), ("libmp3lame", "wav", 44_100, 401), ("mp3", "avi", 44_100, 401),
    ("mp2", "mpegts", 48_000, 160), ("wmav1", "asf", 22_050, -743), ("wmav2", "asf", 44_100, -743), ("ac3", "ac3", 48_000, 85), ("eac3", "eac3", 48_000, 85),
    ("ac3", "mp4", 48_000, 0), ("flac", "matroska", 16_000, 0), ("flac", "mp4", 16_000, 0), ("flac", "ogg", 16_000, 0), ("pcm_s16le", "mov", 16_000, 0),
    ("pcm_s24be", "mov", 48_000, 0), ("pcm_f32le", "matroska", 44_100, 0), ("adpcm_ima_qt", "mov", 16_000, 0), ("g722", "wav", 16_000, 22),
    ("g726", "wav", 8_000, 0), ("wavpack", "wv", 16_000, 0), ("tta", "tta", 16_000, 0), ("pcm_alaw", "caf", 8_000, 0), ("real_144", "rm", 8_000, 320),
    ("libopencore_amrnb", "amr", 8_000, 79), ("libopencore_amrnb", "3gp", 8_000, -21),
]  # fmt: skip
KNOWN_LENGTH = [row for row in MATRIX if row[1] not in ("adts", "mpegts", "rm", "amr", "ac3", "eac3")]


def made(codec: str, container: str, rate: int, seconds: float = 2.0) -> bytes:
    """A recording; an encoder that this FFmpeg was built without is no failure of ours."""
    import av

    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    return encode(sweep(seconds, rate), rate, codec, container)


@pytest.mark.parametrize(("codec", "container", "rate", "delay"), MATRIX)
def test_every_codec_sounds_the_same_and_begins_in_time(tmp_path: Path, codec: str, container: str, rate: int, delay: int) -> None:
    data = made(codec, container, rate)
    audio = load(data)
    assert audio.source_rate == rate
    assert audio.seconds == pytest.approx(2.0, abs=0.0015 if (delay, container) == (0, "ipod") else 0.065)
    found, correlation = alignment(audio.samples, sweep(2.0))
    assert found == pytest.approx(delay, abs=1) and correlation > (0.8 if codec == "libopencore_amrnb" else 0.98)
    path = tmp_path / "clip.mp3"
    path.write_bytes(data)
    assert np.array_equal(load(path).samples, audio.samples)


@pytest.mark.parametrize(("channels", "layout"), [(2, "stereo"), (6, "5.1")])
def test_all_channels_are_heard(channels: int, layout: str) -> None:
    audio = load(encode(sound(2.0, 48_000, channels), 48_000, "aac", "mp4", layout, bit_rate="256000"))
    assert np.std(audio.samples) == pytest.approx(np.std(sound(2.0)) * (1 - 0.05 * (channels - 1)), rel=0.1)


def test_the_first_sound_of_a_video_is_taken(tmp_path: Path) -> None:
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as film:
        picture, voice, music = film.add_stream("mpeg4", rate=10), film.add_stream("aac", rate=16_000), film.add_stream("aac", rate=16_000)
        picture.width = picture.height = 32
        for _ in range(20):
            film.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
        for stream, pitch in ((voice, 200), (music, 700)):
            frame = av.AudioFrame.from_ndarray(sound(2.0, pitch=pitch).astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = 16_000
            film.mux(stream.encode(frame))
            film.mux(stream.encode(None))
    assert alignment(load(path).samples, sound(2.0, pitch=200))[1] > 0.99


def test_a_film_without_sound_is_said_to_be_one() -> None:
    import io

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as film:
        picture = film.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 32
        film.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
        film.mux(picture.encode(None))
    with pytest.raises(AudioError, match="without sound") as caught:
        load(buffer.getvalue())
    assert caught.value.rule == "not_audio"


@pytest.mark.parametrize(("codec", "container", "rate", "delay"), KNOWN_LENGTH)
@pytest.mark.parametrize("share", (0.02, 0.4, 0.9))
def test_what_is_cut_off_is_refused(codec: str, container: str, rate: int, delay: int, share: float) -> None:
    data = made(codec, container, rate, 3.0)
    with pytest.raises(AudioError) as caught:
        load(data[: int(share * len(data))])
    assert caught.value.rule == "truncated" or (share == 0.02 and caught.value.rule == "not_audio"), caught.value


@pytest.mark.parametrize(("codec", "container", "rate"), [
    ("aac", "ipod", 44_100), ("alac", "ipod", 16_000), ("libopus", "webm", 48_000), ("wmav2", "asf", 44_100), ("aac", "adts", 44_100), ("ac3", "ac3", 48_000),
    ("libopencore_amrnb", "amr", 8_000), ("flac", "matroska", 16_000), ("aac", "mpegts", 44_100),
])  # fmt: skip
@pytest.mark.parametrize("how", ("noise", "zeros"))
def test_damage_inside_is_refused(codec: str, container: str, rate: int, how: str) -> None:
    data = made(codec, container, rate, 4.0)
    middle, length = len(data) // 2, len(data) // 4
    damage = np.random.default_rng(0).bytes(length) if how == "noise" else bytes(length)
    with pytest.raises(AudioError) as caught:
        load(data[:middle] + damage + data[middle + length :])
    assert caught.value.rule == "truncated"


def test_a_stream_without_a_length_is_measured_by_its_manifest() -> None:
    data = made("aac", "adts", 44_100, 4.0)
    cut = data[: len(data) // 2]
    assert load(data, promised=4.0).seconds == pytest.approx(4.0, abs=0.05)
    assert load(cut).seconds == pytest.approx(2.0, abs=0.1)
    with pytest.raises(AudioError, match="4.00 s were recorded") as caught:
        load(cut, promised=4.0)
    assert caught.value.rule == "truncated"


def test_silence_that_opus_did_not_send_is_silence() -> None:
    """Browsers record with DTX: packets of a pause are left out, their time stamps go on."""
    import io

    import av

    source, target = av.open(io.BytesIO(made("libopus", "webm", 48_000, 4.0))), io.BytesIO()
    with av.open(target, "w", format="webm") as file:
        stream = file.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.pts is not None and not 1_000 <= packet.pts < 1_300:
                packet.stream = stream
                file.mux(packet)
    audio = load(target.getvalue())
    assert audio.seconds == pytest.approx(4.0, abs=0.03)
    assert np.abs(audio.samples[int(1.1 * SAMPLE_RATE) : int(1.25 * SAMPLE_RATE)]).max() == 0
    assert alignment(audio.samples[2 * SAMPLE_RATE :], sweep(4.0)[2 * SAMPLE_RATE :])[0] == pytest.approx(0, abs=16)


@pytest.mark.parametrize("codec", ("pcm_s16le", "pcm_f32le"))
def test_a_pause_between_packets_does_not_change_the_scale(codec: str) -> None:
    import io

    import av

    source, target = av.open(io.BytesIO(encode(sweep(3.0), 16_000, codec, "matroska"))), io.BytesIO()
    with av.open(target, "w", format="matroska") as file:
        stream = file.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.pts is not None and not 1_000 <= packet.pts < 1_300:
                packet.stream = stream
                file.mux(packet)
    samples = load(target.getvalue()).samples
    assert np.abs(samples[:15_000] - sweep(3.0)[:15_000]).max() < 1e-3 and np.abs(samples[17_500:20_000]).max() == 0
    assert np.std(samples[24_000:]) == pytest.approx(np.std(sweep(3.0)[24_000:]), rel=0.01)


def test_titles_in_an_old_encoding_are_no_obstacle() -> None:
    data = made("aac", "ipod", 44_100)
    assert b"Lavf" in data
    assert load(data.replace(b"Lavf", b"L\xe9vf")).seconds == pytest.approx(2.0, abs=0.001)


def test_three_hours_are_not_decoded_to_be_refused() -> None:
    with pytest.raises(AudioError, match="lasts 4.000 s, longer than 1.5 s") as caught:
        load(made("aac", "ipod", 44_100, 4.0), limits=Limits(max_seconds=1.5))
    assert caught.value.rule == "too_long"


@pytest.mark.parametrize("text", [
    "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{path}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {path}\n", "[playlist]\nFile1={path}\n",
    "<html><body>404</body></html>" * 50, '{{"error": "not found"}}' * 40, "1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20,
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 9 RTP/AVP 0\n",
])  # fmt: skip
def test_text_is_not_audio_and_opens_no_other_file(tmp_path: Path, text: str) -> None:
    other, page = write(tmp_path / "other.wav"), tmp_path / "page.mp3"
    page.write_text(text.format(path=other))
    with pytest.raises(AudioError, match="not audio") as caught:
        load(page)
    assert caught.value.rule == "not_audio"


def test_noise_is_not_audio() -> None:
    rng = np.random.default_rng(0)
    for size in (10, 1_000, 30_000, 300_000):
        for _ in range(8):
            with pytest.raises(AudioError):
                load(b"\1" + rng.bytes(size))


def test_without_pyav_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made("aac", "ipod", 44_100)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"pip install 'asrx\[formats\]'") as caught:
        load(data)
    assert caught.value.rule == "not_audio"


def test_random_damage_never_raises_anything_else() -> None:
    rng = np.random.default_rng(1)
    kinds = (("aac", "ipod", 44_100), ("libopus", "webm", 48_000), ("wmav2", "asf", 44_100), ("aac", "mpegts", 44_100), ("libopencore_amrnb", "amr", 8_000))
    for codec, container, rate in kinds:
        whole = made(codec, container, rate, 0.6)
        for _ in range(25):
            data = bytearray(whole[: rng.integers(len(whole) // 2, len(whole) + 1)])
            for position in rng.integers(0, len(data), 6):
                data[position] = rng.integers(0, 256)
            try:
                samples = load(bytes(data), offset=float(rng.choice([0, 0.2]))).samples
            except AudioError:
                continue
            assert len(samples) and np.isfinite(samples).all()
