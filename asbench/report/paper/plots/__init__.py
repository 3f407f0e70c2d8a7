"""The figures of the paper and ours, one family a file: scores in, a `Drawing` out."""
