// Command empty does nothing: what starting it costs is the least that any static Go program costs.
package main

func main() {}
