"""examples/efficientnet: the photos, the C++ program and the accuracy that the demo shows."""

import subprocess

import numpy as np
import pytest
import torch

import qnative
from examples.efficientnet import cpp_program, data, metrics

PIXEL = torch.zeros(1)


@pytest.fixture
def program(cpp_programs):
    return cpp_programs / "classify"


@pytest.fixture(scope="module")
def crops():
    return data.make_crops()


class Pixels(torch.nn.Module):
    """Returns its input pixels as logits."""

    def forward(self, x):
        return x.flatten(1)


def save_traced(model, path):
    torch.jit.save(torch.jit.trace(model, torch.rand(1, 3, 224, 224)), path)
    return path


def write_photo(folder, height=300, width=401):
    generator = np.random.default_rng(height * width)
    photo = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = folder / f"{height}x{width}.ppm"
    data.write_ppm(path, photo)
    return photo, path


def error_of(program, *arguments):
    command = [str(part) for part in (program, *arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    return done.stderr


def test_crops_come_from_eight_photos_or_more(crops):
    calibration, evaluation = crops
    assert len(data.load_photos()) >= 8
    assert len(calibration) == 64
    assert len(evaluation) >= 256
    assert calibration.shape[1:] == evaluation.shape[1:] == (3, 224, 224)


def test_held_back_squares_overlap_no_calibrated_one_by_more_than_half(monkeypatch):
    kept = []
    monkeypatch.setattr(data.Square, "network_input", lambda self, _: kept.append(self) or PIXEL)
    photos = len(data.load_photos())
    data.make_crops(calibration=2 * photos, evaluation=20 * photos)
    for index, square in enumerate(kept[2 * photos :]):
        for calibrated in kept[index % photos : 2 * photos : photos]:
            assert square.overlap(calibrated) <= data.LARGEST_OVERLAP


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (data.Square(0, 0, 10), 1.0),
        (data.Square(0, 10, 10), 0.0),
        (data.Square(5, 0, 10), 50 / 150),
        (data.Square(2, 2, 5), 25 / 100),
        (data.Square(40, 40, 10), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(other, expected):
    assert data.Square(0, 0, 10).overlap(other) == pytest.approx(expected)


def test_float_network_recognises_photos():
    photo = data.load_photos()["coffee"]
    with torch.no_grad():
        logits = data.load_model()(data.centre(photo).network_input(photo)[None])
    assert data.class_names()[int(logits.argmax())] == "espresso"


def test_metrics():
    reference = torch.tensor([[1.0, 2.0], [4.0, 3.0]])
    assert metrics.sqnr(reference, reference * 0.9) == pytest.approx(20.0, abs=1e-4)
    assert metrics.agreement(reference, torch.tensor([[0.0, 1.0], [0.0, 1.0]])) == 0.5


@pytest.mark.parametrize(("height", "width"), [(300, 401), (224, 224), (500, 225), (97, 31)])
def test_program_prepares_a_photo_to_the_same_bits_as_python(program, tmp_path, height, width):
    model = save_traced(Pixels(), tmp_path / "pixels.pt")
    photo, path = write_photo(tmp_path, height, width)
    expected = data.centre(photo).network_input(photo).reshape(1, -1)
    assert torch.equal(cpp_program.logits(program, model, path), expected)


def test_program_runs_a_quantized_network_to_the_same_bits_as_python(program, tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, stride=2, padding=1),
        torch.nn.ReLU6(),
        torch.nn.Conv2d(16, 16, 3, padding=1, groups=16),
        torch.nn.ReLU6(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    ).eval()
    photo, path = write_photo(tmp_path)
    x = data.centre(photo).network_input(photo)[None]
    quantized = qnative.quantize(network, (x,), [x], strict=True)
    qnative.save(quantized, tmp_path / "quantized.pt2", (x,))
    files = [tmp_path / "quantized.pt2", save_traced(quantized, tmp_path / "quantized.pt")]
    for file in files:
        assert torch.equal(cpp_program.logits(program, file, path), quantized(x))


def test_program_prints_five_classes_with_names_and_the_latency(program, tmp_path):
    model = save_traced(Pixels(), tmp_path / "pixels.pt")
    photo, path = write_photo(tmp_path)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"name{i}" for i in range(3 * 224 * 224)))
    lines = cpp_program.run(program, model, path, "--labels", labels).splitlines()
    values = data.centre(photo).network_input(photo).flatten()
    indices = [line.split("class")[1].split()[0] for line in lines]
    assert [line.split()[-1] for line in lines] == [f"name{index}" for index in indices]
    assert values[[int(index) for index in indices]].tolist() == values.topk(5).values.tolist()
    assert cpp_program.latency(program, model, path, threads=1, runs=3) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "MODEL and PHOTO wanted, 0 arguments found"),
        (("a", "b", "c"), "MODEL and PHOTO wanted, 3 arguments found"),
        (("a", "b", "--threads", "0"), "--threads wants a positive number, got '0'"),
        (("a", "b", "--benchmark", "3x"), "--benchmark wants a positive number, got '3x'"),
        (("a", "b", "--labels"), "--labels wants a value"),
        (("a", "b", "--fast", "1"), "unknown option --fast"),
    ],
)
def test_program_rejects_arguments(program, arguments, message):
    assert message in error_of(program, *arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"P5\n2 2\n255\n" + bytes(4), "not a binary PPM"),
        (b"P6\n2 2\n65535\n" + bytes(24), "not a binary PPM"),
        (b"P6\n-2 2\n255\n" + bytes(12), "not a binary PPM"),
        (b"P6\n99999999 99999999\n255\n", "not a binary PPM"),
        (b"", "not a binary PPM"),
        (b"P6\n# comment\n2 2\n255\n" + bytes(11), "12 bytes of pixels wanted, 11 found"),
    ],
)
def test_program_rejects_photos(program, tmp_path, content, message):
    model = save_traced(Pixels(), tmp_path / "pixels.pt")
    path = tmp_path / "photo.ppm"
    path.write_bytes(content)
    assert message in error_of(program, model, path)


def test_program_rejects_files(program, tmp_path):
    model = save_traced(Pixels(), tmp_path / "pixels.pt")
    _, photo = write_photo(tmp_path)
    missing = tmp_path / "missing"
    assert "missing: cannot open" in error_of(program, model, missing)
    assert "missing: cannot open" in error_of(program, model, photo, "--labels", missing)
    assert "cannot write" in error_of(program, model, photo, "--logits", missing / "logits")
    assert "missing" in error_of(program, missing, photo)
    few = save_traced(torch.nn.AdaptiveAvgPool2d(1), tmp_path / "few.pt")
    assert "float logits of one image" in error_of(program, few, photo)


def test_quantized_efficientnet_agrees_with_float(crops):
    calibration, evaluation = crops
    model = data.load_model()
    quantized = qnative.quantize(model, (calibration[:2],), calibration.split(16))
    with torch.inference_mode():
        expected = torch.cat([model(batch) for batch in evaluation.split(16)])
        logits = torch.cat([quantized(batch) for batch in evaluation.split(16)])
    assert [row.name for row in quantized.report.float_rows] == []
    assert metrics.agreement(expected, logits) >= 0.90
    assert metrics.sqnr(expected, logits) >= 19.0
