print("before", flush=True)
raise ValueError("x")
