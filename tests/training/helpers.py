"""Records of a history that tests show."""

RECORDS = [
    {"step": 2, "stage": "fidelity", "seconds": 1.5, "fidelity": 0.1, "psnr": 20.0},
    {"step": 4, "stage": "score", "seconds": 3.0, "crps": 0.05, "psnr": 21.0, "fair_crps": 0.04, "spread_skill": 0.5},
    {"step": 6, "stage": "score", "seconds": 4.5, "crps": 0.04, "psnr": 22.0, "fair_crps": 0.03, "spread_skill": 0.7},
]
