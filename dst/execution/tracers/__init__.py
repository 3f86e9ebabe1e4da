"""What clients want to see of a run, a file per tracer: sinks of `dst.execution.evm.tracer`, each
with the form that its answer has in JSON."""
