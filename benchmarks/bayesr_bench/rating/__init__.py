"""Mean-opinion-score tests: images of several systems are shown blind and rated from 1 to 5."""
