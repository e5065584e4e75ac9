defmodule Vllm.Core.Worker.LaunchTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Instance.Watchdog
  alias Vllm.Core.Worker.Launch

  test "passes stall_after in seconds" do
    for {time, seconds} <- [{1_500, "1.5"}, {120_000, "120.0"}, {0, "0.0"}, {:infinity, "0"}] do
      {:ok, watchdog} = Watchdog.validate(stall_after: time)

      options = %{
        max_calls: 1,
        grace: 1_000,
        engine_class: nil,
        worker_args: [],
        watchdog: watchdog
      }

      arguments = Launch.arguments("unix:/x", options)
      position = Enum.find_index(arguments, &(&1 == "--stall-after"))
      assert Enum.at(arguments, position + 1) == seconds
    end
  end
end
