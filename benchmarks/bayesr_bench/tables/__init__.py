"""The tables, one module each; `bayesr_bench.harness` explains how to write one."""
