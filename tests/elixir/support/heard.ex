defmodule Vllm.Heard do
  @moduledoc false
  # Hears everything that is logged while a test runs: each event as it is, with the reports that
  # Logger leaves out. A test module that hears is not async.

  def hear do
    id = :"#{__MODULE__}.hear"
    %{level: level, filters: filters} = :logger.get_primary_config()
    :ok = :logger.update_primary_config(%{level: :all, filters: []})
    :ok = :logger.add_handler(id, __MODULE__, %{level: :all, config: self()})

    ExUnit.Callbacks.on_exit(fn ->
      :logger.remove_handler(id)
      :logger.update_primary_config(%{level: level, filters: filters})
    end)
  end

  @doc false
  def log(event, %{config: test}) do
    send(test, {:heard, inspect(event, limit: :infinity, printable_limit: :infinity)})
  end

  # All until now.
  def heard do
    receive do
      {:heard, text} ->
        Process.put(:heard, [text | Process.get(:heard, [])])
        heard()
    after
      0 -> Enum.join(Process.get(:heard, []), "\n")
    end
  end

  # As text, as the bytes of a message, as a charlist.
  def refute_heard(secret) do
    bytes = secret |> String.to_charlist() |> Enum.join(", ")

    for form <- [secret, bytes],
        line <- String.split(heard(), "\n"),
        String.contains?(line, form) do
      ExUnit.Assertions.flunk("the log has: " <> String.slice(line, 0, 20_000))
    end
  end
end
