"""The pool as a service of the execution layer, and the forwarder to the other operators."""
