defmodule Vllm.RealEngine.DocumentsTest do
  # The README and the first steps, as a reader types them: on the default instance.
  use Vllm.VllmEngine

  alias Vllm.Documents
  alias Vllm.Documents.Runner

  if reason = unavailable(:chat), do: @moduletag(skip: reason)

  setup_all do
    put_environment()
    on_exit(fn -> DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, default()) end)
  end

  for page <- Documents.on(:default) do
    test "the examples of #{page} run" do
      Runner.run(unquote(page), :default, [])
    end
  end

  defp default, do: Process.whereis(Vllm.Default) || self()
end
