def progress(it, total, desc): return it
