"""Made-up results of benchmarks."""

REPORT = {
    "benchmarks": [
        {"name": "limit/dot/avx512_vnni/iterations:1", "ops/s": 4e11},
        {"name": "limit/dot/avx2/iterations:1", "ops/s": 2e11},
        *(
            {"name": f"limit/copy/{4096 << i}/iterations:1", "bytes/s": 2e11 / (i + 1)}
            for i in range(15)
        ),
        {
            "name": "gemm/avx512_vnni/square/a",
            "ops": 4e6,
            "bytes": 1e6,
            "best_us": 20.0,
            "%peak": 50.0,
        },
        {"name": "add/avx512_vnni/65536", "bytes": 2e5, "best_us": 2.0, "%copy": 70.0},
    ]
}


def made_up(costs: list[float]) -> list[dict]:
    return [
        {"size": i, "operations": 1000 * i, "qnative": cost * i, "torch": i}
        for i, cost in enumerate(costs, start=1)
    ]
