"""The mean-opinion-score test: systems' images, shown blind and scored from 1 to 5, and what the scores say."""
