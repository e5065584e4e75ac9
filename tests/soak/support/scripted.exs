# What the scripted model says, and what the kernel says of a process.

defmodule Soak.Scripted do
  @words ~w(one two three four five six seven eight)

  @doc "The answer to a prompt that ends in `count`, of that many tokens."
  def counting(tokens),
    do: @words |> Stream.cycle() |> Enum.take(tokens) |> Enum.map_join(&" #{&1}")

  @doc "A number of `/proc/PID/status`, such as `VmRSS` in KB."
  def status(pid, field) do
    [_all, number] = Regex.run(~r/^#{field}:\s+(\d+)/m, File.read!("/proc/#{pid}/status"))
    String.to_integer(number)
  end
end
