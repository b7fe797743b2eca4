"""test/kernels/check_objects.py on small disassemblies: the check must be able to fail."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "kernels" / "check_objects.py"
spec = importlib.util.spec_from_file_location("check_objects", SCRIPT)
check_objects = importlib.util.module_from_spec(spec)
sys.modules["check_objects"] = check_objects  # dataclasses look up their module
spec.loader.exec_module(check_objects)


def function(*instructions):
    """A disassembly with one instruction per 16 bytes, the first at 0x100."""
    lines = ["0000000000000100 <tile<6, 4>(Args const&)>:"]
    lines += [f"     {0x100 + 16 * i:x}:\t{text}" for i, text in enumerate(instructions)]
    (parsed,) = check_objects.parse_disassembly("\n".join(lines) + "\n")
    return parsed


CLEAN = (
    "vmovdqu64 (%rdi),%zmm0",  # 100
    "vpbroadcastd (%rsi),%zmm1",  # 110
    "vpdpbusd %zmm0,%zmm1,%zmm2",  # 120
    "jne    110 <tile<6, 4>(Args const&)+0x10>",  # 130
    "vcvtdq2ps %zmm2,%zmm2",  # 140
    "vmovdqu64 %zmm2,0x40(%rsp)",  # 150
    "ret",  # 160
)


def replaced(index, text):
    return (*CLEAN[:index], text, *CLEAN[index + 1 :])


def test_clean_loop():
    parsed = function(*CLEAN)
    assert parsed.name == "tile<6, 4>(Args const&)"
    assert check_objects.dot_product_loops(parsed) == [{1, 2, 3}]
    assert check_objects.spills(parsed) == []


@pytest.mark.parametrize(
    "store",
    [
        "vmovdqu64 %zmm2,0x40(%rsp)",
        "vmovdqa64 %zmm30,(%rsp)",
        "vmovdqa %ymm3,-0x20(%rsp,%rax,8)",
        "vmovaps %ymm3,0x8(%rsp)",
        "vmovdqu64 %zmm2{%k1},0x40(%rsp)",
    ],
)
def test_store_on_the_stack_is_a_spill(store):
    assert check_objects.spills(function(*replaced(1, store))) == [(0x110, store)]


@pytest.mark.parametrize(
    "harmless",
    [
        "vmovdqu64 0x40(%rsp),%zmm2",  # a constant that is read again
        "vmovdqu64 %zmm2,0x40(%rdi)",
        "mov    %rax,0x40(%rsp)",
        "vmovdqu64 %zmm2,0x40(%rbp)",  # no frame: %rbp is a pointer
    ],
)
def test_other_stores_are_not_spills(harmless):
    assert check_objects.spills(function(*replaced(1, harmless))) == []


@pytest.mark.parametrize("setup", ["mov    %rsp,%rbp", "lea    0x10(%rsp),%rbp"])
def test_frame_pointer(setup):
    store = "vmovdqa64 %zmm2,-0x70(%rbp)"
    parsed = function(setup, "vpmaddwd %ymm0,%ymm1,%ymm2", store, "jl     110 <f+0x10>")
    assert check_objects.spills(parsed) == [(0x120, store)]


def test_spill_between_nested_loops():
    store = "vmovdqa64 %zmm2,(%rsp)"
    segments = (
        store,  # 100
        "vpdpbusd %zmm0,%zmm1,%zmm2",  # 110
        "jne    110 <f+0x10>",  # 120
        "jmp    100 <f>",  # 130
    )
    assert check_objects.spills(function(*segments)) == [(0x100, store)]
    # An outer loop with an epilogue is a loop over tiles and may use the stack.
    tiles = (*segments[:3], "vcvtdq2ps %zmm2,%zmm2", "jmp    100 <f>")
    assert check_objects.spills(function(*tiles)) == []


def test_block_moved_behind_the_function():
    """It jumps back into the loop over the epilogue, which is not part of the loop."""
    parsed = function(
        "xor    %ecx,%ecx",  # 100
        "test   %rax,%rax",  # 110
        "je     170 <f+0x70>",  # 120
        "vpdpbusd %zmm0,%zmm1,%zmm2",  # 130
        "jne    110 <f+0x10>",  # 140
        "vmovdqa64 %zmm2,(%rsp)",  # 150
        "ret",  # 160
        "xor    %eax,%eax",  # 170
        "jmp    130 <f+0x30>",  # 180
    )
    assert check_objects.dot_product_loops(parsed) == [{1, 2, 3, 4, 7, 8}]
    assert check_objects.spills(parsed) == []


def test_innermost_loop_with_epilogue_is_checked():
    store = "vmovdqa64 %zmm2,(%rsp)"
    parsed = function(
        store, "vpdpbusd %zmm0,%zmm1,%zmm2", "vcvtdq2ps %zmm2,%zmm2", "jne    100 <f>"
    )
    assert check_objects.spills(parsed) == [(0x100, store)]


def test_loop_without_dot_product_is_not_checked():
    parsed = function("vmovdqa64 %zmm2,(%rsp)", "jne    100 <f>")
    assert check_objects.dot_product_loops(parsed) == []
    assert check_objects.spills(parsed) == []


def test_weak_symbols():
    text = (
        "0000000000000000 T qnative::gemm::avx2(qnative::gemm::Args const&)\n"
        "0000000000000010 t qnative::(anonymous namespace)::helper()\n"
        "0000000000000000 W std::max<int>(int const&, int const&)\n"
        "0000000000000000 V vtable\n"
        "0000000000000000 u unique\n"
        "                 U memcpy\n"
    )
    assert check_objects.weak_symbols(text) == [
        "std::max<int>(int const&, int const&)",
        "vtable",
        "unique",
    ]


def build_object(tmp_path, family, source, *flags):
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path / "CMakeFiles/qnative_kernels_avx2.dir/csrc/kernels" / family
    folder.mkdir(parents=True)
    (tmp_path / "a.cpp").write_text(source)
    output = folder / "avx2.cpp.o"
    subprocess.run([compiler, "-c", *flags, str(tmp_path / "a.cpp"), "-o", str(output)], check=True)


def test_script_reports_weak_symbols(tmp_path, capsys):
    build_object(tmp_path, "pool", "inline int f() { return 1; }\nint g() { return f(); }\n", "-O0")
    assert check_objects.main([str(tmp_path)]) == 1
    assert "weak symbol f()" in capsys.readouterr().err


def test_script_wants_dot_products_in_gemm(tmp_path, capsys):
    build_object(tmp_path, "gemm", "int g() { return 1; }\n")
    assert check_objects.main([str(tmp_path)]) == 1
    assert "no loop with a dot product" in capsys.readouterr().err


def test_script_accepts_a_clean_object(tmp_path):
    build_object(tmp_path, "pool", "int g() { return 1; }\n")
    assert check_objects.main([str(tmp_path)]) == 0


def test_script_fails_without_objects(tmp_path, capsys):
    assert check_objects.main([str(tmp_path)]) == 1
    assert "no object files" in capsys.readouterr().err
