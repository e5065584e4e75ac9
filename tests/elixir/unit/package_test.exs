defmodule Vllm.PackageTest do
  # What mix.exs puts into the Hex package. `make package` builds it and compares every file.
  use ExUnit.Case, async: true

  @package Mix.Project.config()[:package]

  test "holds both halves of the bridge, the protocol, the guides and the licence" do
    for name <- ~w(elixir/lib elixir/guides proto python_worker pyproject.toml mix.exs README.md
                   CHANGELOG.md LICENSE),
        do: assert(name in @package[:files], name)
  end

  test "names only what there is" do
    for name <- @package[:files], do: assert(File.exists?(name), name)
  end

  test "holds no tests, no build and no caches" do
    refute Enum.any?(@package[:files], &(hd(Path.split(&1)) in ~w(tests vendor _build deps doc)))

    for path <- ["python_worker/wire/__pycache__/flow_control.cpython-311.pyc"],
        do: assert(Enum.any?(@package[:exclude_patterns], &(path =~ &1)), path)
  end
end
