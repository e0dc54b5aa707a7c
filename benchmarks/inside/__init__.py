"""What of a platform is measured from within Python: each module, run by itself, prints nanoseconds."""
