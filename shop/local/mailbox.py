"""x"""
def subscribe(cloud): pass
