"""The benchmark of training speed, beside the environment alone and beside a peer: ``a3c-bench bench``.

Ratios are the result: absolute figures differ from machine to machine, and on one machine from minute to minute. So
every contestant is measured between two measurements of the environment alone, in one process on one core, and every
round measures all contestants anew, in another order.
"""
